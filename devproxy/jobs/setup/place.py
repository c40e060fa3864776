"""Directories in which setup makes or removes something: reached without following a link, and nobody's but root's."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager

from devproxy.errors import DevproxyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS_WRITE: Final = 0o022
PREFIX: Final = ".devproxy-setup-"
"""What names begin with that are there for the length of a system call or two."""


@contextmanager
def directory(path: str, *, make: bool = False) -> Iterator[int]:
    """A directory's descriptor. With `make` what is missing on the way is made, 0755.

    Errors: DevproxyError for a link or anything but a directory on the way, and where somebody else than root could put
    something in the place of what is made; FileNotFoundError.
    """
    folder = os.open("/", _DIRECTORY)
    try:
        walked = ""
        for name in path.strip("/").split("/"):
            walked += f"/{name}"
            below = _enter(folder, name, walked, make=make)
            os.close(folder)
            folder = below
            _require_ours(folder, walked)
        yield folder
    finally:
        os.close(folder)


def sweep(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Remove what a setup that was killed left under names of its own in these directories; what was removed."""
    swept = []
    for path in paths:
        try:
            with directory(path) as folder:
                for name in os.listdir(folder):
                    if name.startswith(PREFIX):
                        _remove(folder, name)
                        swept.append(f"{path}/{name}")
        except (FileNotFoundError, DevproxyError):
            continue  # nothing was made there, or could be
    return tuple(swept)


def _remove(folder: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except IsADirectoryError:
        os.rmdir(name, dir_fd=folder)


def temporary() -> str:
    """A name for something that is about to get its own."""
    return f"{PREFIX}{os.getpid()}-{os.urandom(4).hex()}"


def _enter(folder: int, name: str, path: str, *, make: bool) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=folder)
    except FileNotFoundError:
        if not make:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        raise DevproxyError(
            f"{path} is no directory (links are not followed), expected one", hint=f"ls -ld {path}"
        ) from None
    os.mkdir(name, 0o755, dir_fd=folder)
    below = os.open(name, _DIRECTORY, dir_fd=folder)
    os.fchmod(below, 0o755)  # whatever the umask is
    return below


def _require_ours(folder: int, path: str) -> None:
    found = os.fstat(folder)
    loose = found.st_mode & _OTHERS_WRITE and not found.st_mode & stat.S_ISVTX
    if found.st_uid not in (0, os.geteuid()) or loose:
        told = f"{stat.filemode(found.st_mode)} of uid {found.st_uid}"
        raise DevproxyError(
            f"{path} is {told}, expected a directory of root's in which nobody else writes", hint=f"ls -ld {path}"
        )
