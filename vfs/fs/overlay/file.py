"""An open regular file of an overlay: an open file of a layer."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from vfs import dcache
from vfs.credentials import Capability, without_set_id
from vfs.file import File
from vfs.fs.overlay.inode import open_layer
from vfs.options import SetStat
from vfs.xattr import CAPABILITY

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.fs.overlay.inode import OverlayInode
    from vfs.inode import Inode
    from vfs.mount import VirtualDentry


class OverlayFile(File):
    """A file opened for reading before it was copied up reads the upper part from then on, as since Linux 4.19."""

    __slots__ = ("_overlaid", "_real")

    def __init__(self, location: VirtualDentry, flags: int, creds: Credentials, overlaid: OverlayInode) -> None:
        super().__init__(location, flags, creds)
        self._overlaid = overlaid
        self._real = open_layer(overlaid.real, flags)

    def _current(self) -> File:
        real = self._overlaid.real
        if self._real.inode is not real.dentry.inode:
            with self._overlaid.fs.lock:
                # What is writable was copied up before it was opened: only reading is left to follow.
                old, self._real = self._real, open_layer(real, os.O_RDONLY)
                old.release()
        return self._real

    def _changed(self) -> None:
        real: Inode = self._real.inode
        overlaid = self._overlaid
        overlaid.size, overlaid.mode = real.size, real.mode
        overlaid.mtime_ns, overlaid.ctime_ns = real.mtime_ns, real.ctime_ns

    def read(self, size: int = -1) -> bytes:
        """See `File.read`. Reading nothing is no look at the file (ovl_read_iter of Linux)."""
        return b"" if size == 0 and self.readable else super().read(size)

    def pread(self, size: int, offset: int) -> bytes:
        """See `File.pread`."""
        if size == 0:
            self._check_offset(offset, size, allowed=self.readable)
            return b""
        return super().pread(size, offset)

    def read_at(self, size: int, offset: int) -> bytes:
        """Read from the topmost part."""
        return self._current().read_at(size, offset)

    def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Write to the upper part. Errors: ENOSPC, EFBIG."""
        # Whether writing drops set-id bits depends on who writes, not on the overlay, which opened the layer's file.
        self._real.creds = self.creds
        written = self._real.write_at(data, offset)
        self._changed()
        return written

    def allocate_range(self, mode: int, offset: int, length: int) -> None:
        """See `File.allocate_range`; the layer's own errors."""
        self._real.creds = self.creds
        self._drop_privileges()
        self._real.allocate_range(mode, offset, length)
        self._changed()

    def _drop_privileges(self) -> None:
        """What a change of the contents takes away goes even if the layer then refuses the change (ovl_fallocate of Linux)."""
        real = self._real.inode
        if not self.creds.has(Capability.FSETID):
            mode = without_set_id(self.creds, real.mode, real.gid)
            if mode != real.mode:
                dcache.set_stat(self._overlaid.real.dentry, SetStat(mode=stat.S_IMODE(mode)))
        if CAPABILITY in real.list_xattr() and real.get_xattr(CAPABILITY):
            real.remove_xattr(CAPABILITY)
        self._changed()

    def seek_hole_or_data(self, offset: int, whence: int) -> int:
        """Holes as the layer has them."""
        return self._current().seek_hole_or_data(offset, whence)

    def sync(self) -> None:
        """Write out the layer's file."""
        super().sync()
        if not self._overlaid.fs.layers.volatile:
            self._real.sync()

    def release(self) -> None:
        """Let go of the layer's file."""
        self._real.release()
