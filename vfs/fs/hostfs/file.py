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

_PASSED_ON: Final = os.O_ACCMODE | os.O_APPEND | os.O_NOATIME | os.O_SYNC | os.O_DSYNC


class HostFile(File):
    """A descriptor of the machine's. It was opened through an O_PATH descriptor known to be a regular file, so that no name
    swapped meanwhile can make us open a device.
    """

    __slots__ = ("_fd", "_host")

    def __init__(self, location: VirtualDentry, flags: int, creds: Credentials, host: HostInode) -> None:
        """Errors: ESTALE; the machine's own."""
        super().__init__(location, flags, creds)
        self._host = host
        self._fd = open_host(host, flags & _PASSED_ON | os.O_CLOEXEC)
        host.refresh(os.fstat(self._fd))
        host.is_opened(self._fd)

    def read_at(self, size: int, offset: int) -> bytes:
        """The machine's bytes; its errors."""
        self._host.fresh = False
        return os.pread(self._fd, size, offset)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """See `File.write`. The end of the file may have been moved by others."""
        if self.flags & os.O_APPEND and self.writable:
            self._look()
        return super().write(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """See `File.seek`. The end of the file may have been moved by others."""
        if whence == os.SEEK_END:
            self._look()
        return super().seek(offset, whence)

    def _left(self) -> int:
        self._look()
        return super()._left()

    def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Written to the machine; its errors."""
        written = os.pwrite(self._fd, data, offset)
        if written:
            self._changed()
        return written

    def set_stat(self, changes: SetStat) -> None:
        """See `File.set_stat`. What is allowed depends on attributes that others may have changed, as for the next three."""
        self._look()
        super().set_stat(changes)

    def get_xattr(self, name: str) -> bytes:
        """See `File.get_xattr`."""
        self._look()
        return super().get_xattr(name)

    def set_xattr(self, name: str, value: bytes, flags: int = 0) -> None:
        """See `File.set_xattr`."""
        self._look()
        super().set_xattr(name, value, flags)

    def remove_xattr(self, name: str) -> None:
        """See `File.remove_xattr`."""
        self._look()
        super().remove_xattr(name)

    def _look(self) -> None:
        if not self.closed:
            self._host.refresh(os.fstat(self._fd))

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
        """Errors: EOPNOTSUPP for modes other than 0 without `HostCalls`, as `os` does not offer them; the machine's own."""
        calls = self._host.fs.calls
        if calls is not None:
            calls.allocate(self._fd, mode, offset, length)
        elif mode:
            super().allocate_range(mode, offset, length)
        else:
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
        self._host.is_closed(self._fd)
        os.close(self._fd)


def open_host(host: HostInode, flags: int) -> int:
    """A descriptor of the file itself, whatever has its name by now. Errors: the machine's."""
    with_room = host.fs.descriptors.with_room
    try:
        return with_room(lambda: os.open(host.link_path(), flags))
    except PermissionError:
        # What the caller may, the process need not: then the machine keeps its times.
        if not flags & os.O_NOATIME:
            raise
        return with_room(lambda: os.open(host.link_path(), flags & ~os.O_NOATIME))


class HostFifo(File):
    """An end of a fifo of the machine. It never blocks: the lock of the VFS is held while it is opened (fifo(7))."""

    __slots__ = ("_fd",)

    seekable: ClassVar[bool] = False

    def __init__(self, location: VirtualDentry, flags: int, creds: Credentials, host: HostInode) -> None:
        """Errors: ENXIO without a reader; ESTALE; the machine's own."""
        super().__init__(location, flags, creds)
        self._fd = open_host(host, flags & os.O_ACCMODE | os.O_NONBLOCK | os.O_CLOEXEC)

    def read_at(self, size: int, offset: int) -> bytes:
        """What is in it. Errors: EAGAIN if that is nothing, while somebody could write."""
        return os.read(self._fd, size)

    def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Errors: EAGAIN when it is full; EPIPE without a reader."""
        return os.write(self._fd, data)

    def release(self) -> None:
        """Close the descriptor."""
        os.close(self._fd)
