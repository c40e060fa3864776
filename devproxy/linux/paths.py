"""Paths resolved inside a root, by descriptors: neither `..` nor a symbolic link leads out of it.

`open_in_root` is openat2(2); devproxy.linux.walk does the same where a kernel (before 5.6) or a seccomp filter lacks
it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time

from devproxy.linux.foreign import create_string_buffer
from devproxy.linux.syscalls import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    CLOSE_RANGE,
    FACCESSAT2,
    INT,
    LONG,
    OPENAT2,
    STRING,
    check,
    encode,
    libc,
    prototype,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    # How a path is opened inside a root: the root's descriptor, the path, open(2) flags without O_CREAT.
    Opener = Callable[[int, str, int], int]

_OPEN_HOW = struct.Struct("=3Q")
_RESOLVE_NO_MAGICLINKS, _RESOLVE_BENEATH, _RESOLVE_IN_ROOT = 0x02, 0x08, 0x10
_RESOLVE: Final = _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS
_TRIES: Final = 128
_IN_A_ROW: Final = 16
_A_WHILE: Final = 10e-6
_AT_EACCESS = 0x200
_STATX_MNT_ID, _STATX_SIZE, _MNT_ID_AT = 0x1000, 256, 144

_openat2 = prototype(INT, STRING, STRING, LONG)
_close_range = prototype(INT, INT, INT)
_faccessat2 = prototype(INT, STRING, INT, INT)


def open_in_root(root: int, path: str, flags: int) -> int:
    """Open a path with `root` as its root directory (openat2(2), RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS).

    Errors: those of open(2); ELOOP also for a magic link of procfs (/proc/self/exe); EAGAIN when the tree is renamed
    faster than it can be walked.
    """
    return _open(root, path, _how(flags))


def open_beneath(directory: int, path: str, flags: int) -> int:
    """Open a relative path below a directory (openat2(2), RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS).

    Errors: as `open_in_root`; EXDEV for a path that leads out of it, as an absolute link does, wherever that leads.
    """
    return _open(directory, path, _OPEN_HOW.pack(flags | os.O_CLOEXEC, 0, _RESOLVE_NO_MAGICLINKS | _RESOLVE_BENEATH))


def _open(root: int, path: str, how: bytes) -> int:
    encoded = encode(path)
    opened: int = _openat2(OPENAT2, root, encoded, how, _OPEN_HOW.size)
    if opened >= 0:
        return opened
    for attempt in range(_TRIES):
        try:
            return check(opened, path)
        except OSError as error:
            # EAGAIN: something was renamed or mounted while `..` was resolved, so the kernel could not be sure.
            if error.errno not in (errno.EAGAIN, errno.EINTR):
                raise
            if attempt >= _IN_A_ROW:
                # It may have been anywhere on the machine: give whoever does it time to end.
                time.sleep(attempt * _A_WHILE)
        opened = _openat2(OPENAT2, root, encoded, how, _OPEN_HOW.size)
    return check(opened, path)


def _how(flags: int) -> bytes:
    """Struct open_how of some flags, of which there are a handful."""
    packed = _packed.get(flags)
    if packed is None:
        packed = _packed[flags] = _OPEN_HOW.pack(flags | os.O_CLOEXEC, 0, _RESOLVE)
    return packed


_packed: Final[dict[int, bytes]] = {}


def open_within(directory: str, path: str, flags: int, opener: Opener) -> int:
    """Open a path that begins with a directory's, with that directory as the root of the rest. Errors: those of `opener`, about
    the whole path.
    """
    base = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        return opener(base, path[len(directory) :], flags)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(base)


def has_openat2() -> bool:
    """Whether openat2(2) can be used here: ENOSYS means an old kernel, EPERM a seccomp filter."""
    how = _OPEN_HOW.pack(os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE)
    try:
        os.close(check(_openat2(OPENAT2, AT_FDCWD, b"/", how, _OPEN_HOW.size)))
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EPERM):
            return False
        raise
    return True


def close_range(first: int, last: int, *, cloexec: bool = False) -> None:
    """Close the descriptors from `first` to `last`, or have exec close them (close_range(2)).

    Before Linux 5.9, and for `cloexec` before 5.11, it is done one by one.
    """
    try:
        check(_close_range(CLOSE_RANGE, first, last, 4 if cloexec else 0))
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EINVAL, errno.EPERM):
            raise
        _close_one_by_one(first, last, cloexec=cloexec)


def _close_one_by_one(first: int, last: int, *, cloexec: bool) -> None:
    last = min(last, os.sysconf("SC_OPEN_MAX"))
    if not cloexec:
        os.closerange(first, last + 1)
        return
    for descriptor in range(first, last + 1):
        try:
            os.set_inheritable(descriptor, False)  # noqa: FBT003 (the interpreter's own signature)
        except OSError:
            continue


LAST_DESCRIPTOR: Final = 0x7FFFFFFF


def above_stdio(descriptor: int) -> int:
    """The same open file under a number that is none of 0, 1 and 2, which a caller may have closed (fcntl(2),
    F_DUPFD_CLOEXEC).
    """
    if descriptor > 2:
        return descriptor
    number = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(descriptor)
    return number


def chown_descriptor(descriptor: int, uid: int, gid: int) -> None:
    """Change the owner of what an O_PATH descriptor names, and of nothing else (fchownat(2), AT_EMPTY_PATH)."""
    check(libc.fchownat(descriptor, b"", uid, gid, AT_EMPTY_PATH))


def is_same_place(one: int, other: int) -> bool:
    """Whether two descriptors name the same file of the same mount (statx(2), STATX_MNT_ID)."""
    first, second = os.fstat(one), os.fstat(other)
    if (first.st_dev, first.st_ino) != (second.st_dev, second.st_ino):
        return False
    return mount_of(one) == mount_of(other)


def mount_of(descriptor: int) -> int:
    """The number that mountinfo has for the mount that a descriptor is on."""
    found = create_string_buffer(_STATX_SIZE)
    check(libc.statx(descriptor, b"", AT_EMPTY_PATH, _STATX_MNT_ID, found))
    return int(LONG.from_buffer(found, _MNT_ID_AT).value)


def may_execute(descriptor: int, path: str) -> bool:
    """Whether the process's effective user may execute what a descriptor names (faccessat2(2), Linux 5.8; before that,
    what the path names by now). Says no for a regular file on a mount with noexec.
    """
    try:
        check(_faccessat2(FACCESSAT2, descriptor, b"", os.X_OK, AT_EMPTY_PATH | _AT_EACCESS))
    except PermissionError:
        return False
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        return os.access(path, os.X_OK, effective_ids=True)
    return True


PROC_SUPER_MAGIC: Final = 0x9FA0
DEVPTS_SUPER_MAGIC: Final = 0x1CD1


def filesystem_magic(descriptor: int) -> int:
    """The type of the file system that a descriptor is on (fstatfs(2), f_type)."""
    # struct statfs is 120 bytes where devproxy runs, and f_type is its first long; the slack is for other builds.
    buffer = create_string_buffer(256)
    check(libc.fstatfs(descriptor, buffer))
    return LONG.from_buffer(buffer).value
