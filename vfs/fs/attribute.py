"""Files whose contents are made when they are read, and understood when they are written: those of proc and cgroup.

Analogous to kernfs and seq_file of Linux (fs/kernfs/file.c): a reading from the start makes the text and later ones go on in it;
a write is one whole value, whatever the position, and writing nothing changes nothing.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from vfs.errors import error
from vfs.file import File
from vfs.inode import Inode

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.filesystem import Filesystem
    from vfs.mount import VirtualDentry
    from vfs.options import SetStat

_PAGE = 4096
Show = Callable[[], str]
Store = Callable[[str], None]


def keep_attributes(inode: Inode, changes: SetStat) -> None:
    """Take over mode, owner and times, as kernfs keeps them; a size is accepted and means nothing."""
    now = time.time_ns()
    if changes.mode is not None:
        inode.mode = stat.S_IFMT(inode.mode) | changes.mode
    if changes.uid is not None:
        inode.uid = changes.uid
    if changes.gid is not None:
        inode.gid = changes.gid
    if changes.touch or changes.atime_now:
        inode.atime_ns = now
    if changes.touch or changes.mtime_now:
        inode.mtime_ns = now
    inode.atime_ns = inode.atime_ns if changes.atime_ns is None else changes.atime_ns
    inode.mtime_ns = inode.mtime_ns if changes.mtime_ns is None else changes.mtime_ns
    inode.ctime_ns = now


class AttributeFile(Inode):
    """A file with a value. Without `show` it cannot be read, without `store` not written; `gone` says that what it tells about
    does not exist any more.
    """

    __slots__ = ("gone", "show", "store")

    def __init__(self, fs: Filesystem, ino: int, mode: int, show: Show | None, store: Store | None = None) -> None:
        super().__init__(fs, ino, stat.S_IFREG | mode, 0, 0)
        self.show = show
        self.store = store
        self.gone = False
        self.atime_ns = self.mtime_ns = self.ctime_ns = time.time_ns()

    def set_stat(self, changes: SetStat) -> None:
        """See `keep_attributes`."""
        keep_attributes(self, changes)

    def open(self, location: VirtualDentry, flags: int, creds: Credentials) -> File:
        """Errors: EINVAL for an access that the file has no way for (kernfs_fop_open); ENODEV when it is gone."""
        access = flags & os.O_ACCMODE
        reads, writes = access in {os.O_RDONLY, os.O_RDWR}, access in {os.O_WRONLY, os.O_RDWR}
        if self.gone:
            raise error(errno.ENODEV)
        if (reads and self.show is None) or (writes and self.store is None):
            raise error(errno.EINVAL)
        return OpenAttribute(location, flags, creds)


class OpenAttribute(File):
    """An open file of that kind."""

    __slots__ = ("_text",)

    def __init__(self, location: VirtualDentry, flags: int, creds: Credentials) -> None:
        super().__init__(location, flags, creds)
        self._text: bytes | None = None

    def read_at(self, size: int, offset: int) -> bytes:
        """A part of the text, which is made anew at the start.

        Errors: ENODEV when what it tells about is gone.
        """
        inode = self._inode()
        if inode.gone:
            raise error(errno.ENODEV)
        if offset == 0 or self._text is None:
            assert inode.show is not None
            with inode.fs.lock:
                self._text = os.fsencode(inode.show())
        return self._text[offset : offset + size]

    def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Errors: ENODEV when it is gone; E2BIG for a page or more; the value's own: EINVAL, ERANGE, EBUSY ..."""
        inode = self._inode()
        if inode.gone:
            raise error(errno.ENODEV)
        if len(data) >= _PAGE:
            raise error(errno.E2BIG)
        if data:
            assert inode.store is not None
            text = bytes(data).partition(b"\0")[0].decode("utf-8", "surrogateescape")
            with inode.fs.lock:
                inode.store(text)
        return len(data)

    def _inode(self) -> AttributeFile:
        assert isinstance(self.inode, AttributeFile)
        return self.inode

    def _left(self) -> int:
        return 1 << 20
