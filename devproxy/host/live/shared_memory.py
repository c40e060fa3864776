"""Shared memory that outlives its makers: /dev/shm (shm_overview(7)), System V segments (sysvipc(7)), and the directories of
the CUDA Multi-Process Service. What is there is looked at and never opened; a control daemon's number is read, and not believed.
"""

from __future__ import annotations

import os
import stat

from devproxy.host.live.memory_users import users_of
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Final

_SHM: Final = "/dev/shm"  # noqa: S108
_SYSV: Final = "/proc/sysvipc/shm"
# Of more, the newest are kept: who looks for what a job left knows when it began.
_MOST: Final = 400
_MOST_BYTES: Final = 4 << 20
_KINDS: Final = {
    stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link", stat.S_IFSOCK: "socket", stat.S_IFIFO: "fifo",
}  # fmt: skip
_LOOK: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC

# Where MPS has its sockets and logs by default, and the variables that say otherwise (NVIDIA's MPS document).
_MPS: Final = (
    ("pipe", "CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps"),  # noqa: S108
    ("log", "CUDA_MPS_LOG_DIRECTORY", "/var/log/nvidia-mps"),
)
_PID_FILE: Final = "nvidia-cuda-mps-control.pid"
_DAEMON: Final = "nvidia-cuda-mps"  # comm has 15 characters (proc_pid_comm(5))


def read() -> dict[str, object]:
    """`{"entries": [...], "left_out": n, "segments": [...] or None, "segments_left_out": n, "mps": [...]}`; the names in them are
    those of `host.shared_memory_facts`.

    Errors: OSError where /dev/shm may not be listed.
    """
    entries, left_out = entries_of(_SHM)
    segments, segments_left_out = _segments()
    return {
        "entries": entries,
        "left_out": left_out,
        "mps": list(mps_directories(os.environ)),
        "segments": segments,
        "segments_left_out": segments_left_out,
    }


def entries_of(place: str, proc: str = "/proc") -> tuple[list[dict[str, object]], int]:
    """What is in a directory such as /dev/shm, by name, and how many older entries were left out."""
    try:
        folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return [], 0
    try:
        found = [each for name in os.listdir(folder) if (each := _entry(folder, name, place)) is not None]
    finally:
        os.close(folder)
    kept = sorted(found, key=lambda each: each.changed, reverse=True)[:_MOST]
    users = users_of({each.ident: each.path.rpartition("/")[2] for each in kept}, proc)
    by_name = sorted(kept, key=lambda each: each.path)
    return [{**each.words, "path": each.path, "users": users[each.ident]} for each in by_name], len(found) - len(kept)


class _Entry(Record):
    """What is at a name: what it is by, when it was changed, the words of the document."""

    path: str
    ident: tuple[int, int]
    changed: float
    words: dict[str, object]


def _entry(folder: int, name: str, place: str) -> _Entry | None:
    try:
        descriptor = os.open(name, _LOOK, dir_fd=folder)
    except FileNotFoundError:
        return None  # gone meanwhile
    try:
        found = os.fstat(descriptor)
        changed = found.st_ctime_ns / 1e9
        words = {**_looked_at(descriptor, found), "changed": changed, "size": found.st_size}
        return _Entry(f"{place}/{_shown(name)}", (found.st_dev, found.st_ino), changed, words)
    finally:
        os.close(descriptor)


def _looked_at(descriptor: int, found: os.stat_result) -> dict[str, object]:
    from devproxy.linux.host_calls import MachineCalls

    born = MachineCalls().birth_ns(descriptor)
    return {
        "born": None if born is None else born / 1e9,
        "device": found.st_dev,
        "inode": found.st_ino,
        "kind": _KINDS.get(stat.S_IFMT(found.st_mode), "other"),
        "mode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
    }


def _shown(name: str) -> str:
    """A name as text: bytes that are no UTF-8 are shown escaped, as in every file that is read."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


# System V


def _segments() -> tuple[list[dict[str, object]] | None, int]:
    try:
        with open(_SYSV, encoding="ascii", errors="replace") as file:
            text = file.read(_MOST_BYTES)
    except FileNotFoundError:
        return [], 0  # a kernel without System V IPC
    except OSError:
        return None, 0
    return segments_in(text)


def segments_in(text: str) -> tuple[list[dict[str, object]], int]:
    """The lines of /proc/sysvipc/shm: the newest by their number, and how many were left out. `key shmid perms size cpid lpid
    nattch uid gid cuid cgid atime dtime ctime rss swap`; the key is signed, perms are octal.
    """
    found = [segment for line in text.split("\n")[1:] if (segment := _segment(line.split())) is not None]
    kept = sorted(found, key=lambda each: each[1], reverse=True)[:_MOST]
    return [words for _, _, words in sorted(kept, key=lambda each: each[0])], len(found) - len(kept)


def _segment(words: list[str]) -> tuple[int, int, dict[str, object]] | None:
    """A segment's number, when it was changed, and its words; None for what is no line of it."""
    try:
        key, ident, _, size, creator, last, attached, uid, _, creator_uid = map(int, words[:10])
        changed, mode = int(words[13]), int(words[2], 8) & 0o777
    except (ValueError, IndexError):
        return None
    about: dict[str, object] = {
        "attached": attached,
        "changed": changed,
        "creator": creator,
        "creator_uid": creator_uid,
    }
    about |= {"ident": ident, "key": key & 0xFFFFFFFF, "last": last, "mode": mode, "size": size, "uid": uid}
    return ident, changed, about


# MPS


def mps_directories(
    environment: Mapping[str, str], places: tuple[tuple[str, str, str], ...] = _MPS
) -> Iterator[dict[str, object]]:
    """Those that are there: the ones that this process's environment names, and the usual ones."""
    for role, variable, usual in places:
        named = environment.get(variable, "")
        for path in dict.fromkeys((os.path.normpath(named) if named[:1] == "/" else usual, usual)):
            try:
                descriptor = os.open(path, _LOOK)
            except OSError:
                continue  # not there, or behind a directory that is shut: not one that this process could use
            try:
                daemon, alive = _daemon(descriptor) if role == "pipe" else (None, None)
                looked = _looked_at(descriptor, os.fstat(descriptor))
                yield {"path": path, "role": role, **looked, "daemon": daemon, "alive": alive}
            finally:
                os.close(descriptor)


def _daemon(folder: int) -> tuple[int | None, bool | None]:
    """The control daemon's process as it wrote it down, and whether that process is one."""
    try:
        file = os.open(_PID_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return None, False
    except OSError:
        return None, None
    try:
        words = os.read(file, 32).split() if stat.S_ISREG(os.fstat(file).st_mode) else []
    finally:
        os.close(file)
    if not words or not words[0].isdigit() or len(words[0]) > 10:
        return None, None
    return int(words[0]), _is_daemon(int(words[0]))


def _is_daemon(pid: int) -> bool | None:
    from devproxy.host.live.accelerators import is_first_pid_namespace

    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read(64).startswith(_DAEMON)
    except (FileNotFoundError, ProcessLookupError):
        return False if is_first_pid_namespace() else None
