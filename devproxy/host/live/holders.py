"""Which processes hold accelerators: every process's descriptors and mappings, compared by device number.

In a container the same device has another path, or a node of its own, so that names decide nothing. What cannot be read
is counted: who is not listed then is unknown, never free. Formats: proc_pid_fd(5), proc_pid_maps(5), proc_pid_stat(5).
"""

from __future__ import annotations

import os
import stat

from devproxy.host.live.accelerators import is_first_pid_namespace, live_majors, live_nodes
from devproxy.host.live.deadline import TooLate, lines_within
from devproxy.json_text import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Final

# A machine with a hundred thousand open files takes half a second. A dead file server may hang a stat(2) for ever.
_SECONDS: Final = 20.0
_MOST_HOLDERS: Final = 4096
_MOST_MAPS: Final = 8 << 20
_MOST_ENVIRONMENT: Final = 2 << 20
_LEASE: Final = b"DEVPROXY_LEASE_ID="
# What is never an accelerator, and what most processes have open.
_PASSED_OVER: Final = (
    "/proc/", "/sys/", "/memfd:", "/dev/null", "/dev/zero", "/dev/tty", "/dev/pts/", "/dev/urandom", "/dev/random",
)  # fmt: skip
_GONE: Final = (FileNotFoundError, ProcessLookupError, NotADirectoryError)


class _Hidden(Exception):
    """A process whose descriptors may not be read."""


def read() -> dict[str, object]:
    """`{"holders": [...], "unread": how many processes, "complete": bool, "why": ...}`."""
    paths = {node.number.rdev: node.path for node in live_nodes()}
    return holders_of(paths, live_majors())


def holders_of(paths: Mapping[int, str], majors: frozenset[int], proc: str = "/proc") -> dict[str, object]:
    """Who holds a device of these numbers, or of these majors. `paths` says what the host calls it."""
    found: list[object] = []
    unread = 0
    why = "" if is_first_pid_namespace() else "processes of other pid namespaces are not seen from here"
    try:
        for line in lines_within(_SECONDS, lambda: _lines(paths, majors, proc)):
            document = loads(line)
            if document is None:
                unread += 1
            elif len(found) < _MOST_HOLDERS:
                found.append(document)
            else:
                why = f"there are more than {_MOST_HOLDERS}"
    except (TooLate, ChildProcessError) as error:
        why = f"looking through {proc} {error}"
    if unread and not why:
        why = f"the descriptors of {unread} process{'' if unread == 1 else 'es'} may not be read"
    return {"complete": not why, "holders": found, "unread": unread, "why": why}


def _lines(paths: Mapping[int, str], majors: frozenset[int], proc: str) -> Iterator[str]:
    """One line of JSON for each holder, `null` for each process that may not be looked into."""
    pids = sorted((name for name in os.listdir(proc) if name.isdigit()), key=int)
    if "1" not in pids:
        yield "null"  # hidepid: the processes of others are not even listed
    for pid in pids:
        try:
            holder = _holder(pid, paths, majors, proc)
        except _Hidden:
            yield "null"
            continue
        if holder is not None:
            yield dumps(holder)


def _holder(pid: str, paths: Mapping[int, str], majors: frozenset[int], proc: str) -> dict[str, object] | None:
    """A process that holds something, or None. The directory is held open: all that is read is of one process, even when
    its number is given to another meanwhile.
    """
    try:
        directory = os.open(f"{proc}/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except _GONE:
        return None
    except PermissionError:
        raise _Hidden from None
    try:
        held = dict.fromkeys([*_open_devices(directory, paths, majors), *_mapped_devices(directory, paths, majors)])
        if not held:
            return None
        name, started = _identity(directory)
        about = {"name": name, "paths": sorted(held), "pid": int(pid), "started": started, "uid": _uid(directory)}
        return {**about, "lease": _lease(directory)}
    except _GONE:
        return None  # it ended: what it held is free
    finally:
        os.close(directory)


def _open_devices(directory: int, paths: Mapping[int, str], majors: frozenset[int]) -> Iterator[str]:
    try:
        descriptors = os.open("fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    except PermissionError:
        raise _Hidden from None
    try:
        try:
            names = os.listdir(descriptors)
        except PermissionError:
            raise _Hidden from None
        for name in names:
            try:
                yield from _device(name, descriptors, paths, majors)
            except PermissionError:
                raise _Hidden from None
            except OSError:
                continue  # closed meanwhile
    finally:
        os.close(descriptors)


def _device(name: str, directory: int, paths: Mapping[int, str], majors: frozenset[int]) -> Iterator[str]:
    """The path of the device that a magic link stands for, if it is one of ours."""
    link = os.readlink(name, dir_fd=directory)
    if link[:1] != "/" or link.startswith(_PASSED_OVER):
        return
    try:
        found = os.stat(name, dir_fd=directory)
    except OSError:
        return  # closed meanwhile, or on a file system that keeps even root out (FUSE): devices do not work on these
    if not stat.S_ISCHR(found.st_mode):
        return
    if found.st_rdev in paths or os.major(found.st_rdev) in majors:
        yield paths.get(found.st_rdev, link)


def _mapped_devices(directory: int, paths: Mapping[int, str], majors: frozenset[int]) -> Iterator[str]:
    """Devices that stay mapped when their descriptor is closed. To follow a mapping takes privileges
    (CAP_CHECKPOINT_RESTORE, proc_pid_map_files(5)); without them its name has to do.
    """
    for area, name in _device_mappings(directory):
        try:
            found = os.stat(f"map_files/{area}", dir_fd=directory)
        except OSError:
            if name in paths.values():
                yield name
            continue
        if stat.S_ISCHR(found.st_mode) and (found.st_rdev in paths or os.major(found.st_rdev) in majors):
            yield paths.get(found.st_rdev, name)


def _device_mappings(directory: int) -> Iterable[tuple[str, str]]:
    """Mappings of what is named like a device: their address range and name."""
    try:
        fd = os.open("maps", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    except PermissionError:
        raise _Hidden from None
    with open(fd, "rb") as file:
        data = file.read(_MOST_MAPS)
    if b"/dev/" not in data:
        return ()
    lines = (line.split(None, 5) for line in data.split(b"\n") if b"/dev/" in line)
    named = ((os.fsdecode(parts[0]), os.fsdecode(parts[5])) for parts in lines if len(parts) == 6)
    return tuple((area, name) for area, name in named if not name.startswith(_PASSED_OVER))


def _identity(directory: int) -> tuple[str, int]:
    """A process's name, and when it started. The name is in parentheses and may hold some itself."""
    with open(os.open("stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory), "rb") as file:
        text = file.read(4096).decode("utf-8", "backslashreplace")
    before, _, after = text.rpartition(")")
    return before.partition("(")[2], int(after.split()[19])


def _lease(directory: int) -> str | None:
    """The number of the lease that a process was started under: 32 hexadecimal digits, else none (jobs.scope). Nothing else of an
    environment is kept: there are secrets in it.
    """
    try:
        with open(os.open("environ", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory), "rb") as file:
            data = file.read(_MOST_ENVIRONMENT)
    except PermissionError:
        return None
    value = next((each[len(_LEASE) :] for each in data.split(b"\0") if each.startswith(_LEASE)), b"")
    return value.decode() if len(value) == 32 and not value.strip(b"0123456789abcdef") else ""


def _uid(directory: int) -> int:
    """The effective user. That of the directory would be root's for a process that may not be dumped."""
    with open(os.open("status", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory), "rb") as file:
        line = next(line for line in file.read(1 << 16).split(b"\n") if line.startswith(b"Uid:"))
    return int(line.split()[2])
