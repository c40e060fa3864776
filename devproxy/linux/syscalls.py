"""The C library, and the system calls that it has no function for.

Everything here raises OSError with the errno of the call and the path it was about, as `os` does.
"""

from __future__ import annotations

import ctypes
import errno
import os
from types import TracebackType
from typing import Final

libc: Final = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

# Since Linux 5.1 a new system call has one number on every architecture (Documentation/process/adding-syscalls.rst).
PIDFD_SEND_SIGNAL: Final = 424
OPEN_TREE: Final = 428
MOVE_MOUNT: Final = 429
FSOPEN: Final = 430
FSCONFIG: Final = 431
FSMOUNT: Final = 432
CLOSE_RANGE: Final = 436
OPENAT2: Final = 437
FACCESSAT2: Final = 439
MOUNT_SETATTR: Final = 442

AT_FDCWD: Final = -100
AT_EMPTY_PATH: Final = 0x1000
AT_RECURSIVE: Final = 0x8000


def encode(path: str) -> bytes:
    """A path or word as the kernel takes it. Errors: EINVAL for a NUL inside, where C would silently stop reading."""
    encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise OSError(errno.EINVAL, "has a NUL byte in it", path)
    return encoded


def check(result: int, path: str | None = None) -> int:
    """Return what a C function returned, or raise what its errno says when that is negative."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result


def syscall(number: int, *arguments: int | bytes | None, path: str | None = None) -> int:
    """Make a system call by number (syscall(2)).

    `path` is the filename of the OSError.
    """
    values = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return check(libc.syscall(ctypes.c_long(number), *values), path)


class about:  # noqa: N801 (read as a word: `with about(path):`)
    """A context in which an OSError is about `path`, whatever the call that failed was given."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            error.filename, error.filename2 = self._path, None
