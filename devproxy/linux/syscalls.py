"""The C library, and the system calls that it has no function for.

Everything here raises OSError with the errno of the call and the path it was about, as `os` does.
"""

from __future__ import annotations

import errno
import os
import sys

from devproxy.linux import foreign

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Final

libc: Final = foreign.CDLL(None, use_errno=True)
libc.syscall.restype = foreign.c_long

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
OPEN_TREE_ATTR: Final = 467

AT_FDCWD: Final = -100
AT_EMPTY_PATH: Final = 0x1000
AT_RECURSIVE: Final = 0x8000


_ENCODING: Final = sys.getfilesystemencoding()
_ERRORS: Final = sys.getfilesystemencodeerrors()


def encode(path: str) -> bytes:
    """A path or word as the kernel takes it. Errors: EINVAL for a NUL inside, where C would silently stop reading."""
    if "\0" in path:
        raise OSError(errno.EINVAL, "has a NUL byte in it", path)
    return path.encode(_ENCODING, _ERRORS)


def check(result: int, path: str | None = None) -> int:
    """Return what a C function returned, or raise what its errno says when that is negative."""
    if result < 0:
        number = foreign.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result


INT: Final = foreign.c_int
LONG: Final = foreign.c_long
STRING: Final = foreign.c_char_p
POINTER: Final = foreign.c_void_p


def prototype(*types: type[Any]) -> Callable[..., int]:
    """syscall(2) with the types of its arguments set once, the number's own left out. To convert them at every call takes
    longer than most calls do. The function returns what the call did: give it to `check`.
    """
    function = libc["syscall"]  # an object of its own each time, unlike libc.syscall
    function.argtypes = (LONG, *types)
    function.restype = LONG
    return function


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
