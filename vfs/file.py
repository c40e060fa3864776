"""An open file: a place, flags and a position.

Analogous to Linux's struct file. `File` checks what every kind of file has in common (access mode, position, append) and
leaves `read_at` and `write_at` to its subclasses; as it stands it is what O_PATH opens.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Self

from vfs import atime
from vfs.abi import (
    FALLOC_FL_COLLAPSE_RANGE,
    FALLOC_FL_INSERT_RANGE,
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_UNSHARE_RANGE,
    FALLOC_FL_WRITE_ZEROES,
    FALLOC_FL_ZERO_RANGE,
    MAX_FILE_SIZE,
    O_ACCMODE,
    STATX_BASIC_STATS,
    STATX_BTIME,
)
from vfs.credentials import checked_set_stat
from vfs.errors import error
from vfs.options import SetStat

if TYPE_CHECKING:
    from types import TracebackType

    from vfs.credentials import Credentials
    from vfs.inode import DirectoryEntry, Inode
    from vfs.locks import LockKeeper
    from vfs.mount import Mount, VirtualDentry
    from vfs.statx import Statx

_O_APPEND = os.O_APPEND
_O_NOATIME = os.O_NOATIME
_S_IFMT = 0o170000
_S_IFREG = stat.S_IFREG
_ACCESS_BITS = O_ACCMODE | os.O_PATH
_ALLOCATION_MODES = (
    # Alone, or with KEEP_SIZE; holes are punched with it only, the rest never has it (fs/open.c, vfs_fallocate).
    {mode | keep for mode in (0, FALLOC_FL_ZERO_RANGE, FALLOC_FL_UNSHARE_RANGE) for keep in (0, FALLOC_FL_KEEP_SIZE)}
    | {
        FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_COLLAPSE_RANGE,
        FALLOC_FL_INSERT_RANGE,
        FALLOC_FL_WRITE_ZEROES,
    }
)
_READABLE = frozenset({os.O_RDONLY, os.O_RDWR})
_WRITABLE = frozenset({os.O_WRONLY, os.O_RDWR})


class File:
    """An open file description. `creds` are the opener's until somebody else uses it and says so; `position` is where read and write go on.

    Invariant: while it is open it counts in `Mount.open_files`, and in `Mount.writers` when it can write a regular file.
    """

    __slots__ = (
        "closed",
        "counts_as_writer",
        "creds",
        "flags",
        "inode",
        "location",
        "position",
        "readable",
        "writable",
    )

    seekable: ClassVar[bool] = True
    kept_atime: ClassVar[int] = atime.NO_ATIME
    """The mount flags under which the access time stays."""

    def __init__(self, location: VirtualDentry, flags: int, creds: Credentials) -> None:
        self.location = location
        inode: Inode = location.dentry.inode
        self.inode = inode
        self.flags = flags
        self.creds = creds
        self.position = 0
        self.closed = False
        access = flags & _ACCESS_BITS
        self.readable = access in _READABLE
        self.writable = access in _WRITABLE
        # Nodes, fifos and sockets do not keep a mount from being sealed.
        self.counts_as_writer = self.writable and inode.mode & _S_IFMT == _S_IFREG

    # for subclasses

    def read_at(self, size: int, offset: int) -> bytes:
        """At most `size` bytes from `offset`, fewer at the end.

        Preconditions: the file is open for reading; the lock may be held or not: this may run beside a change.

        Errors: EINVAL here; EISDIR; the type's own.
        """
        raise error(errno.EINVAL)

    def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Write at `offset` and return how much was taken.

        Preconditions: the file is open for writing; the lock may be held or not, and is taken by a type that needs it.

        Errors: EINVAL here; ENOSPC; EFBIG; the type's own.
        """
        raise error(errno.EINVAL)

    def change(self, changes: SetStat) -> None:
        """Carry out a change that was checked; the lock is held. Override where an open file is reached otherwise than by name."""
        from vfs import dcache

        dcache.set_stat(self.location.dentry, changes)

    def allocate_range(self, mode: int, offset: int, length: int) -> None:
        """The work of fallocate(2).

        Preconditions: the file is regular and open for writing, the mode is one of Linux's, the range ends before the largest size.

        Errors: EOPNOTSUPP here; ENOSPC.
        """
        raise error(errno.EOPNOTSUPP)

    @property
    def lock_keeper(self) -> LockKeeper | None:
        """Who keeps its locks in place of the VFS; nobody here."""
        return None

    def release(self) -> None:
        """Let go of what the open file holds. Called once, by `close`."""

    # reading and writing

    def read(self, size: int = -1) -> bytes:
        """Read from the position on; all that is left when `size` is negative.

        Errors: EBADF if not open for reading; EINVAL past the largest offset; EISDIR; EAGAIN for an empty pipe; a driver's own.
        """
        if not self.readable:
            raise error(errno.EBADF)
        if size < 0:
            size = self._left()
        elif self.position + size > MAX_FILE_SIZE:
            raise error(errno.EINVAL)
        data = self.read_at(size, self.position)
        self.position += len(data)
        self._touch_atime()
        if data and self.inode.fs.watches.instances:
            self.inode.fs.watches.accessed(self)
        return data

    def pread(self, size: int, offset: int) -> bytes:
        """Read from `offset` without moving the position.

        Errors: as `read`; ESPIPE for a file without positions; EINVAL for a negative offset.
        """
        self._check_offset(offset, size, allowed=self.readable)
        data = self.read_at(size, offset)
        self._touch_atime()
        if data and self.inode.fs.watches.instances:
            self.inode.fs.watches.accessed(self)
        return data

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write at the position, or at the end with O_APPEND; the number of bytes taken.

        Errors: EBADF if not open for writing; ENOSPC; EFBIG; EPIPE; EINVAL; a driver's own.
        """
        if not self.writable:
            raise error(errno.EBADF)
        if self.position + len(data) > MAX_FILE_SIZE:
            raise error(errno.EINVAL)
        if self.flags & _O_APPEND and data:
            # The end must not move between looking and writing; writing nothing moves nothing.
            with self.inode.fs.lock:
                end = self.inode.size
                written = self.write_at(data, end)
                self.position = end + written
        else:
            written = self.write_at(data, self.position)
            self.position += written
        if written and self.inode.fs.watches.instances:
            self.inode.fs.watches.modified(self)
        return written

    def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Write at `offset` without moving the position; at the end with O_APPEND, as Linux does (pwrite(2), "BUGS").

        Errors: as `write`; ESPIPE for a file without positions; EINVAL for a negative offset.
        """
        self._check_offset(offset, len(data), allowed=self.writable)
        fs = self.inode.fs
        with fs.lock:
            written = self.write_at(data, self.inode.size if self.flags & _O_APPEND else offset)
            if written and fs.watches.instances:
                fs.watches.modified(self)
        return written

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position, and return it. SEEK_DATA and SEEK_HOLE see a file without holes here.

        Errors: ESPIPE for a stream; EINVAL for an unknown whence or a negative result; ENXIO for data or holes past the end.
        """
        self.check_open()
        if not self.seekable:
            raise error(errno.ESPIPE)
        if whence == os.SEEK_SET:
            position = offset
        elif whence == os.SEEK_CUR:
            position = self.position + offset
        elif whence == os.SEEK_END:
            position = self.inode.size + offset
        elif whence in {os.SEEK_DATA, os.SEEK_HOLE}:
            position = self.seek_hole_or_data(offset, whence)
        else:
            raise error(errno.EINVAL)
        if not 0 <= position <= MAX_FILE_SIZE:
            raise error(errno.EINVAL)
        self.position = position
        return position

    def seek_hole_or_data(self, offset: int, whence: int) -> int:
        """Where the next hole or data begins (lseek(2)); the whole file is data here.

        Errors: ENXIO.
        """
        if not 0 <= offset < self.inode.size:
            raise error(errno.ENXIO)
        return offset if whence == os.SEEK_DATA else self.inode.size

    def truncate(self, size: int) -> None:
        """Set the size (ftruncate(2)).

        Errors: EINVAL if not open for writing, no regular file, or a negative size; EBADF for O_PATH; ENOSPC, EFBIG.
        """
        if size < 0:
            raise error(errno.EINVAL)
        self.check_open()
        if not self.writable or not stat.S_ISREG(self.inode.mode):
            raise error(errno.EINVAL)
        self.set_stat(SetStat(size=size))

    def allocate(self, mode: int, offset: int, length: int) -> None:
        """Make sure that space is there, or punch a hole (fallocate(2)).

        Errors: EINVAL; EOPNOTSUPP for modes that nobody knows, or that the type does not; EBADF if not open for writing;
        ESPIPE for a fifo; ENODEV if no regular file; EFBIG; ENOSPC.
        """
        self.check_open()
        if offset < 0 or length <= 0:
            raise error(errno.EINVAL)
        if mode not in _ALLOCATION_MODES:
            raise error(errno.EOPNOTSUPP)
        if not self.writable:
            raise error(errno.EBADF)
        if not stat.S_ISREG(self.inode.mode):
            raise error(errno.ESPIPE if stat.S_ISFIFO(self.inode.mode) else errno.ENODEV)
        if offset + length > MAX_FILE_SIZE:
            raise error(errno.EFBIG)
        self.allocate_range(mode, offset, length)
        if self.inode.fs.watches.instances:
            self.inode.fs.watches.modified(self)

    def copy_to(self, start: int, target: File, to: int, length: int) -> int | None:
        """The work of copy_file_range(2) by a type that has a way of its own: how much was copied. None where data is to be read
        and written, as here.
        """
        return None

    # attributes and the rest

    def stat(self) -> os.stat_result:
        """What fstat(2) reports."""
        return self.inode.stat()

    def statx(self, mask: int = STATX_BASIC_STATS | STATX_BTIME) -> Statx:
        """What the call of that name reports for an open file. Errors: EINVAL for a reserved mask."""
        from vfs import statx

        statx.check_mask(mask)
        return statx.of_place(self.location, self.stat(), mask)

    def set_stat(self, changes: SetStat) -> None:
        """fchmod, fchown, futimens and ftruncate.

        Errors: EBADF for O_PATH; EPERM, EACCES; EROFS; ENOSPC.
        """
        self.check_open()
        if changes.size is None:
            self.location.mount.check_writable()
        with self.inode.fs.lock:
            checked = checked_set_stat(self.creds, self.inode, changes)
            if changes.size is not None:
                # Unlike truncate(2), ftruncate(2) sets the time also when the size stays.
                checked = replace(checked, mtime_now=True)
            self.change(checked)

    def get_xattr(self, name: str) -> bytes:
        """fgetxattr(2). Errors: as `VirtualFilesystem.getxattr_at`; EBADF for O_PATH, as for the next three."""
        from vfs import xattr

        xattr.check_name(name)
        self.check_open()
        return xattr.get(self.creds, self.inode, name)

    def set_xattr(self, name: str, value: bytes, flags: int = 0) -> None:
        """fsetxattr(2). Errors: as `VirtualFilesystem.setxattr_at`."""
        from vfs import xattr

        xattr.check_set(name, value, flags)
        self.check_open()
        with self.inode.fs.lock:
            xattr.set_value(self.creds, self.location.mount, self.inode, name, value, flags)
            self.inode.fs.watches.attributes(self.location.dentry)

    def list_xattr(self) -> list[str]:
        """flistxattr(2)."""
        from vfs import xattr

        self.check_open()
        return xattr.names(self.creds, self.inode)

    def remove_xattr(self, name: str) -> None:
        """fremovexattr(2). Errors: as `VirtualFilesystem.removexattr_at`."""
        from vfs import xattr

        xattr.check_name(name)
        self.check_open()
        with self.inode.fs.lock:
            xattr.remove(self.creds, self.location.mount, self.inode, name)
            self.inode.fs.watches.attributes(self.location.dentry)

    def read_directory(self, count: int | None = None) -> list[DirectoryEntry]:
        """The next `count` entries, or all that are left, without "." and ".." (getdents64(2)).

        The position after an entry is its cookie: `seek` to it goes on behind that entry, whatever was made or removed
        meanwhile; seek(0) begins anew, and cookies from before are void (telldir(3), rewinddir(3)).

        Errors: ENOTDIR; ENOENT for a directory that was removed.
        """
        self.check_open()
        raise error(errno.ENOTDIR)

    def ioctl(self, request: int, argument: object = None) -> object:
        """A request to the driver (ioctl(2)).

        Errors: ENOTTY where nothing takes requests.
        """
        self.check_open()
        raise error(errno.ENOTTY)

    def sync(self) -> None:
        """Write out what is only in memory (fsync(2))."""
        self.check_open()

    def close(self) -> None:
        """Close the file; closing again does nothing."""
        fs, mount = self.inode.fs, self.location.mount
        with fs.lock:
            if self.closed:
                return
            self.closed = True
            try:
                self.release()
            finally:
                if fs.watches.instances:
                    fs.watches.closed(self)
                if fs.vfs.locks.held:
                    fs.vfs.locks.release(self)
                self.readable = self.writable = False
                mount.open_files -= 1
                if self.counts_as_writer:
                    mount.writers -= 1
                if mount.dead:
                    self._put(mount)

    @staticmethod
    def _put(mount: Mount) -> None:
        from vfs import unmounting

        unmounting.put(mount)

    def check_open(self) -> None:
        """Errors: EBADF for a closed file or one opened with O_PATH."""
        if self.closed or self.flags & os.O_PATH:
            raise error(errno.EBADF)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_offset(self, offset: int, size: int, *, allowed: bool) -> None:
        if offset < 0:
            raise error(errno.EINVAL)
        if not self.seekable and not self.flags & os.O_PATH:
            raise error(errno.ESPIPE)
        if not allowed:
            raise error(errno.EBADF)
        if offset + size > MAX_FILE_SIZE:
            raise error(errno.EINVAL)

    def _left(self) -> int:
        return max(self.inode.size - self.position, 0) if stat.S_ISREG(self.inode.mode) else 1 << 16

    def _touch_atime(self) -> None:
        if not self.flags & _O_NOATIME:
            atime.touch(self.inode, self.location.mount.bits, self.kept_atime)
