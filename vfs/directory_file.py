"""An open directory."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, ClassVar

from vfs import atime
from vfs.dentry import DEAD
from vfs.errors import error
from vfs.file import File

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.inode import DirectoryEntry
    from vfs.mount import VirtualDentry


class DirectoryFile(File):
    """The listing is taken when it is first read and after seek(0), so that names made or removed meanwhile never make others
    appear twice or vanish (readdir(3) leaves the rest open). The position counts entries of that listing, which makes it a
    cookie that stays good: it depends on no order of the directory itself.
    """

    __slots__ = ("_listing",)

    kept_atime: ClassVar[int] = atime.NO_ATIME_OF_DIRECTORY

    def __init__(self, location: VirtualDentry, flags: int, creds: Credentials) -> None:
        super().__init__(location, flags, creds)
        self._listing: list[DirectoryEntry] | None = None

    def read_at(self, size: int, offset: int) -> bytes:
        """Errors: EISDIR."""
        raise error(errno.EISDIR)

    def list_entries(self) -> list[DirectoryEntry]:
        """The whole listing: override where an open directory has one of its own."""
        return list(self.inode.iterate())

    def read_directory(self, count: int | None = None) -> list[DirectoryEntry]:
        """See `File.read_directory`."""
        self.check_open()
        if self.location.dentry.odd & DEAD and not self.inode.nlink:
            raise error(errno.ENOENT)
        if self._listing is None or self.position == 0:
            self._listing = self.list_entries()
        end = len(self._listing) if count is None else self.position + count
        entries = self._listing[self.position : end]
        self.position += len(entries)
        self._touch_atime()
        if self.inode.fs.watches.instances:
            self.inode.fs.watches.accessed(self)
        return entries

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Errors: EINVAL unless from the beginning or the position: a listing has no end, no holes and no data."""
        self.check_open()
        if whence not in {os.SEEK_SET, os.SEEK_CUR}:
            raise error(errno.EINVAL)
        return super().seek(offset, whence)
