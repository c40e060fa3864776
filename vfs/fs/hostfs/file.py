"""An open regular file of the machine, or a fifo."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, ClassVar, Final

from vfs.credentials import Capability, without_set_id
from vfs.file import File

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.fs.hostfs.inode import HostInode
    from vfs.mount import VirtualDentry
    from vfs.options import SetStat

_PASSED_ON: Final = os.O_ACCMODE | os.O_APPEND | os.O_SYNC | os.O_DSYNC


class HostFile(File):
    """A descriptor of the machine's. It was opened through an O_PATH descriptor known to be a regular file, so that no name
    swapped meanwhile can make us open a device.
    """

    __slots__ = ("_fd", "_host")

    def __init__(self, location: VirtualDentry, flags: int, creds: Credentials, host: HostInode) -> None:
        """Errors: ESTALE; the machine's own."""
        super().__init__(location, flags, creds)
        self._host = host
        self._fd = os.open(host.link_path(), flags & _PASSED_ON | os.O_CLOEXEC)
        host.refresh(os.fstat(self._fd))

    def read_at(self, size: int, offset: int) -> bytes:
        """The machine's bytes; its errors."""
        return os.pread(self._fd, size, offset)

    def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Written to the machine; its errors."""
        written = os.pwrite(self._fd, data, offset)
        if written:
            self._changed()
        return written

    def change(self, changes: SetStat) -> None:
        """Changed by descriptor: the file may have no name any more."""
        self._host.fs.check_writable()
        self._host.apply(self._fd, changes)
        self._host.refresh(os.fstat(self._fd))

    def _changed(self) -> None:
        """Take over the attributes; drop set-id bits unless the writer may keep them, as it is not the one the machine sees."""
        found = os.fstat(self._fd)
        if found.st_mode & (stat.S_ISUID | stat.S_ISGID) and not self.creds.has(Capability.FSETID):
            os.fchmod(self._fd, stat.S_IMODE(without_set_id(self.creds, found.st_mode, found.st_gid)))
        self._host.refresh(os.fstat(self._fd))

    def allocate_range(self, mode: int, offset: int, length: int) -> None:
        """Room on the machine for mode 0. Errors: EOPNOTSUPP for other modes, which `os` does not offer; the machine's own."""
        if mode:
            super().allocate_range(mode, offset, length)
        os.posix_fallocate(self._fd, offset, length)
        self._changed()

    def seek_hole_or_data(self, offset: int, whence: int) -> int:
        """Holes as the machine has them; ENXIO past the end."""
        return os.lseek(self._fd, offset, whence)

    def stat(self) -> os.stat_result:
        """The attributes of this moment, also without a name."""
        self._host.refresh(os.fstat(self._fd))
        return self._host.stat_result(self._host.blocks)

    def sync(self) -> None:
        """fsync(2)."""
        super().sync()
        os.fsync(self._fd)

    def release(self) -> None:
        """Close the descriptor."""
        os.close(self._fd)


class HostFifo(File):
    """An end of a fifo of the machine. It never blocks: the lock of the VFS is held while it is opened (fifo(7))."""

    __slots__ = ("_fd",)

    seekable: ClassVar[bool] = False

    def __init__(self, location: VirtualDentry, flags: int, creds: Credentials, host: HostInode) -> None:
        """Errors: ENXIO without a reader; ESTALE; the machine's own."""
        super().__init__(location, flags, creds)
        self._fd = os.open(host.link_path(), flags & os.O_ACCMODE | os.O_NONBLOCK | os.O_CLOEXEC)

    def read_at(self, size: int, offset: int) -> bytes:
        """What is in it. Errors: EAGAIN if that is nothing, while somebody could write."""
        return os.read(self._fd, size)

    def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Errors: EAGAIN when it is full; EPIPE without a reader."""
        return os.write(self._fd, data)

    def release(self) -> None:
        """Close the descriptor."""
        os.close(self._fd)
