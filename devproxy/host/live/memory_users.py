"""Which files of shared memory processes have open or mapped, by device and inode: names differ from one mount namespace to the
next, and glibc's sem_open(3) maps a file under another name than it gives it. Formats: proc_pid_maps(5), proc_pid_fd(5).
"""

from __future__ import annotations

import os

from devproxy.host.live.accelerators import is_first_pid_namespace
from devproxy.host.live.deadline import TooLate, lines_within
from devproxy.json_text import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Final

    Ident = tuple[int, int]

_SECONDS: Final = 5.0
_MOST_MAPS: Final = 8 << 20
_GONE: Final = (FileNotFoundError, ProcessLookupError, NotADirectoryError)
_DELETED: Final = " (deleted)"


def users_of(wanted: Mapping[tuple[int, int], str], proc: str = "/proc") -> dict[tuple[int, int], int | None]:
    """How many processes have each of some files, whose last names are the values, open or mapped. None where nobody was seen and
    not everybody could be looked at.
    """
    if not wanted:
        return {}
    found = dict.fromkeys(wanted, 0)
    complete = is_first_pid_namespace()
    try:
        for line in lines_within(_SECONDS, lambda: _lines(wanted, proc)):
            held = loads(line)
            if not isinstance(held, list):
                complete = False
                continue
            for device, inode in held:
                found[device, inode] += 1
    except (TooLate, ChildProcessError):
        complete = False
    return {ident: number if number or complete else None for ident, number in found.items()}


def _lines(wanted: Mapping[Ident, str], proc: str) -> Iterator[str]:
    """One line for each process that has some of them, `null` for each that may not be looked into."""
    names = frozenset(wanted.values())
    pids = [name for name in os.listdir(proc) if name.isdigit()]
    pids = [pid for pid in pids if pid != str(os.getpid())]  # this one has what its parent has, which is counted itself
    if "1" not in pids:
        yield "null"  # hidepid: the processes of others are not even listed
    for pid in pids:
        try:
            held = {*_mapped(f"{proc}/{pid}/maps", wanted), *_open(f"{proc}/{pid}/fd", wanted, names)}
        except _GONE:
            continue
        except PermissionError:
            yield "null"
            continue
        if held:
            yield dumps([list(ident) for ident in sorted(held)])


def _mapped(path: str, wanted: Mapping[Ident, str]) -> Iterator[Ident]:
    """`7f00-7f01 rw-s 00000000 00:1b 3    /dev/shm/name`."""
    with open(path, "rb") as file:
        data = file.read(_MOST_MAPS)
    for line in data.split(b"\n"):
        words = line.split(None, 5)
        if len(words) < 6 or words[4] == b"0":
            continue
        major, _, minor = words[3].partition(b":")
        ident = os.makedev(int(major, 16), int(minor, 16)), int(words[4])
        if ident in wanted:
            yield ident


def _open(path: str, wanted: Mapping[Ident, str], names: frozenset[str]) -> Iterator[Ident]:
    for name in os.listdir(path):
        try:
            link = os.readlink(f"{path}/{name}")
            if link.rpartition("/")[2] not in names and not link.endswith(_DELETED):
                continue
            found = os.stat(f"{path}/{name}")
        except OSError:
            continue  # closed meanwhile
        if (found.st_dev, found.st_ino) in wanted:
            yield found.st_dev, found.st_ino
