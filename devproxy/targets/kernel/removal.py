"""Removing a tree that strangers filled: by descriptors, without following links, however deep it is."""

from __future__ import annotations

import errno
import os
from itertools import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(parent: int, name: str) -> None:
    """Remove the directory `name` of `parent` with everything in it. Precondition: nobody else changes it.

    A directory that is not empty is first moved to the top: two descriptors do for any depth. Errors: those of
    unlinkat(2); ENOTDIR if it is a link or no directory.
    """
    top = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        pending = [entry for entry in os.listdir(top) if not _remove(top, entry)]
        # An earlier removal that was cut short has left some of these names.
        taken = frozenset(pending)
        fresh = (new for number in count() if (new := f"{number}.removed") not in taken)
        while pending:
            moved = pending.pop()
            directory = os.open(moved, _DIRECTORY, dir_fd=top)
            try:
                pending += _empty(directory, top, fresh)
            finally:
                os.close(directory)
            os.rmdir(moved, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def _empty(directory: int, top: int, fresh: Iterator[str]) -> list[str]:
    """Remove what is in a directory, but for the directories that hold something: they are moved to `top` under the
    names that are returned.
    """
    moved = []
    for name in os.listdir(directory):
        if not _remove(directory, name):
            moved.append(next(fresh))
            os.rename(name, moved[-1], src_dir_fd=directory, dst_dir_fd=top)
    return moved


def _remove(directory: int, name: str) -> bool:
    """Remove one name; false for a directory that is not empty."""
    try:
        os.unlink(name, dir_fd=directory)
    except IsADirectoryError:
        try:
            os.rmdir(name, dir_fd=directory)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            _let_in(directory, name)
            return False
    return True


def _let_in(directory: int, name: str) -> None:
    """Give the owner of a directory the rights that emptying and moving it takes: overlayfs makes one of mode 0."""
    found = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    try:
        if os.fstat(found).st_mode & 0o700 != 0o700:
            os.chmod(f"/proc/self/fd/{found}", 0o700)
    finally:
        os.close(found)
