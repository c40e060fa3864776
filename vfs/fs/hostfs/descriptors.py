"""Descriptors of directories and files of the machine: few, kept while they are used, opened again when they are not.

A walk over a large tree sees far more files than a process may have descriptors. A descriptor that fell out is opened
again from its parent's, by name, and taken only if it still is the same file.
"""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from vfs.errors import error

if TYPE_CHECKING:
    from vfs.fs.hostfs.inode import HostInode

LIMIT: Final = 128
"""Descriptors kept for one VFS, however many trees of the machine it shows; each tree's root has one more."""

Opened = TypeVar("Opened")

_FLAGS: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class Descriptors:
    """The least recently used is closed first. Called with the lock of the VFS held, also while a descriptor is used."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._open: OrderedDict[HostInode, int] = OrderedDict()

    def get(self, inode: HostInode) -> int:
        """An O_PATH descriptor of a file, good until the next call.

        Errors: ESTALE if its name means another file by now; ENOENT; EACCES.
        """
        missing = []
        fd: int | None = None
        while fd is None:
            fd = inode.root_fd if inode.parent is None else self._open.get(inode)
            if fd is None:
                missing.append(inode)
                assert inode.parent is not None
                inode = inode.parent
            elif inode.parent is not None:
                self._open.move_to_end(inode)
        for each in reversed(missing):
            fd = self._reopen(each, fd)
        return fd

    def _reopen(self, inode: HostInode, parent_fd: int) -> int:
        fd = self._open_path(inode.name, parent_fd)
        if not inode.is_file(os.fstat(fd)):
            os.close(fd)
            raise error(errno.ESTALE, inode.name)
        while len(self._open) >= self._limit:
            os.close(self._open.popitem(last=False)[1])
        self._open[inode] = fd
        return fd

    def _open_path(self, name: str, parent_fd: int) -> int:
        return self.with_room(lambda: os.open(name, _FLAGS, dir_fd=parent_fd), parent_fd)

    def with_room(self, opening: Callable[[], Opened], used: int = -1) -> Opened:
        """What `opening` opens. Where the process may have no more, descriptors that are kept are given up for it.

        The one asked for last stays, and `used`. Errors: those of `opening`.
        """
        while True:
            try:
                return opening()
            except OSError as problem:
                if problem.errno not in {errno.EMFILE, errno.ENFILE} or not self._give_up(used):
                    raise

    def _give_up(self, used: int) -> bool:
        oldest = next(iter(self._open.items()), None)
        if oldest is None or len(self._open) == 1 or oldest[1] == used:
            return False
        os.close(self._open.pop(oldest[0]))
        # One less from now on: what is opened next for a moment finds room too.
        self._limit = max(1, min(self._limit, len(self._open)))
        return True

    def forget(self, fs: object) -> None:
        """Close what belongs to a file system that goes."""
        for inode in [inode for inode in self._open if inode.fs is fs]:
            os.close(self._open.pop(inode))

    def drop(self, inode: HostInode) -> None:
        """Close one file's, whose name is gone or another."""
        fd = self._open.pop(inode, None)
        if fd is not None:
            os.close(fd)
