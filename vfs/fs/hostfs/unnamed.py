"""A file of the machine that was made without a name (O_TMPFILE)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vfs.fs.hostfs.inode import HostInode

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.file import File
    from vfs.fs.hostfs.directory import HostDirectory
    from vfs.fs.hostfs.filesystem import HostFilesystem
    from vfs.mount import VirtualDentry

_FLAGS = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC


class UnnamedInode(HostInode):
    """There is no way back to it but its descriptor, which is kept as long as the file is open. Given a name, it is a file like
    all others from the last close on.
    """

    __slots__ = ("_fd", "linkable")

    def __init__(self, fs: HostFilesystem, directory: HostDirectory, fd: int, *, linkable: bool) -> None:
        self._fd = fd
        found = os.fstat(fd)
        super().__init__(fs, fs.ino_on(found.st_dev, found.st_ino), found, directory, "")
        self.linkable = linkable

    def descriptor(self) -> int:
        """See `HostInode.descriptor`."""
        return self._fd if self._fd >= 0 else super().descriptor()

    def _look(self) -> os.stat_result:
        return os.fstat(self._fd) if self._fd >= 0 else super()._look()

    def open(self, location: VirtualDentry, flags: int, creds: Credentials) -> File:
        """See `HostInode.open`."""
        try:
            return super().open(location, flags, creds)
        except OSError:
            self.let_go()
            raise

    def is_closed(self, fd: int) -> None:
        """The descriptor goes with the last open file."""
        super().is_closed(fd)
        self.let_go()

    def let_go(self) -> None:
        """Close the descriptor, unless the file is open."""
        if not self.open_fds and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def make(directory: HostDirectory, *, linkable: bool) -> UnnamedInode:
    """A file without a name, of the process and closed to others. Errors: EOPNOTSUPP; the machine's own."""
    flags = _FLAGS | (0 if linkable else os.O_EXCL)
    fd = directory.fs.descriptors.with_room(lambda: os.open(".", flags, 0o600, dir_fd=directory.descriptor()))
    try:
        return UnnamedInode(directory.fs, directory, fd, linkable=linkable)
    except OSError:
        os.close(fd)
        raise
