"""Descriptors of directories and files of the machine: few, kept while they are used, opened again when they are not.

A walk over a large tree sees far more files than a process may have descriptors. A descriptor that fell out is opened
again from its parent's, by name, and taken only if it still is the same file.
"""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from vfs.errors import error

if TYPE_CHECKING:
    from vfs.fs.hostfs.inode import HostInode

LIMIT: Final = 128
"""Descriptors kept for one VFS, however many trees of the machine it shows; each tree's root has one more."""

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
        while True:
            try:
                return os.open(name, _FLAGS, dir_fd=parent_fd)
            except OSError as problem:
                # Where a process may have fewer than the limit, one is given up for another.
                oldest = next(iter(self._open.items()), None)
                if problem.errno not in {errno.EMFILE, errno.ENFILE} or oldest is None or oldest[1] == parent_fd:
                    raise
                self._limit = min(self._limit, len(self._open))
                os.close(self._open.pop(oldest[0]))

    def forget(self, fs: object) -> None:
        """Close what belongs to a file system that goes."""
        for inode in [inode for inode in self._open if inode.fs is fs]:
            os.close(self._open.pop(inode))

    def drop(self, inode: HostInode) -> None:
        """Close one file's, whose name is gone or another."""
        fd = self._open.pop(inode, None)
        if fd is not None:
            os.close(fd)
