"""libtpu's lock file when nobody holds it any more: its presence alone keeps some programs, and other users, from the chips."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct

from devproxy.host.live.accelerators import is_first_pid_namespace
from devproxy.host.live.locks import holder_in
from devproxy.jobs.clean.dirt import Dirt, DirtKind
from devproxy.jobs.clean.files import File, file_at, remove
from devproxy.jobs.devices import Kind
from devproxy.linux.file_user import FileUser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.jobs.clean.asked import Asked
    from devproxy.jobs.clean.survey import Survey

_NAME: Final = "libtpu_lockfile"
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# struct flock: type and whence, then start, length and pid at their own alignment (fcntl_locking(2)).
_FLOCK: Final = struct.Struct("hhqqi4x")


def file(asked: Asked) -> File | None:
    """What is at the lock file's path, where the lease had TPUs."""
    if not any(device.kind is Kind.TPU for device in asked.scope.devices):
        return None
    try:
        return file_at(f"{asked.how.places.temporary}/{_NAME}")
    except PermissionError:
        return None


def find(survey: Survey, found: File | None) -> list[tuple[Dirt, File]]:
    """The lock file, if it is the lease's owner's and nobody else has it. What is no file there is told: libtpu cannot use it."""
    if found is None or found.uid != survey.asked.scope.uid:
        return []
    if not found.is_regular:
        why = f"it is {stat.filemode(found.mode)}, expected a regular file: libtpu did not make it"
        return [(Dirt(DirtKind.TPU_LOCK, found.path, "", why, f"look at it: ls -ld {found.path}"), found)]
    holder = _holder(found)
    ours = holder in survey.memory.pids
    if (found.device, found.inode) in survey.used or (holder and not ours):
        return []
    return [(Dirt(DirtKind.TPU_LOCK, found.path, "its owner is the lease's, and nobody else holds it"), found)]


def clear(found: File) -> str:
    """Remove it while we have it locked, so that nobody can come to hold it meanwhile. Returns why it could not be done."""
    try:
        with FileUser(found.uid):
            descriptor = os.open(found.path, _OPEN)
    except FileNotFoundError:
        return ""
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "it was replaced while it was looked at"
        return f"cannot be opened: {os.strerror(error.errno or 0).lower()}"
    try:
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) != (found.device, found.inode) or not stat.S_ISREG(status.st_mode):
            return "it was replaced while it was looked at"
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return "somebody holds it by now"
        if _is_locked_by_range(descriptor):
            return "somebody holds it by now"
        return remove(found)
    finally:
        os.close(descriptor)


def _holder(found: File) -> int:
    """Who holds it, as /proc/locks says; 0 for nobody that is seen."""
    try:
        with open("/proc/locks", encoding="ascii", errors="replace") as lines:
            text = lines.read()
    except OSError:
        return 0
    _, pid = holder_in(text, found.device, found.inode, everything=is_first_pid_namespace())
    return pid or 0


def _is_locked_by_range(descriptor: int) -> bool:
    """Whether a process has a lock of the other kind on it (fcntl_locking(2), F_GETLK)."""
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    answer = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    return bool(answer[0] != fcntl.F_UNLCK)
