"""Open files of the server's (fs/fuse/file.c)."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING, ClassVar, Final

from vfs.abi import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE
from vfs.credentials import Capability, checked_set_stat, without_set_id
from vfs.directory_file import DirectoryFile
from vfs.errors import error
from vfs.file import File
from vfs.fuse import abi
from vfs.fuse.abi import Opcode
from vfs.fuse.records import (
    COPY_FILE_RANGE_IN,
    DATA_IN,
    FALLOCATE_IN,
    FLUSH_IN,
    FSYNC_IN,
    IOCTL_IN,
    IOCTL_OUT,
    LSEEK_IN,
    LSEEK_OUT,
    OPEN_IN,
    OPEN_OUT,
    RELEASE_IN,
    WRITE_OUT,
    OpenOut,
)
from vfs.options import SetStat

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.fs.fuse.inode import FuseInode
    from vfs.fs.fuse.listing import OpenListing
    from vfs.fs.fuse.locks import FuseLocks
    from vfs.inode import DirectoryEntry
    from vfs.mount import VirtualDentry

_NOT_SENT: Final = os.O_CREAT | os.O_EXCL | os.O_NOCTTY
_ALLOCATION_MODES: Final = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE
_CHUNK: Final = 1 << 16
_IOC_WRITE, _IOC_READ = 1, 2


def open_regular(inode: FuseInode, location: VirtualDentry, flags: int, creds: Credentials) -> FuseFile:
    """Open a regular file, or take over what its making opened. A server without OPEN needs no handle.

    Errors: EIO; the server's.
    """
    fs = inode.fs
    made, fs.opened = fs.opened, None
    if made is not None and made[0] is inode:
        opened: OpenOut | None = made[1]
    else:
        wanted = OPEN_IN.pack(flags & ~_NOT_SENT, 0)
        answer = fs.ask_if_known(Opcode.OPEN, inode.nodeid, (wanted,), OPEN_OUT.size)
        opened = None if answer is None else OPEN_OUT.unpack(answer)
    given = 0 if opened is None else opened.open_flags
    kind = FuseFile
    if given & abi.FOPEN_STREAM:
        kind = FuseStream
    elif given & abi.FOPEN_NONSEEKABLE:
        kind = FuseUnseekable
    if flags & os.O_TRUNC:
        if opened is None:
            inode.change(SetStat(size=0), None)
        inode.forget_attributes()
        inode.size = 0
    return kind(location, flags & ~os.O_TRUNC, creds, opened)


class FuseFile(File):
    """An open regular file. `handle` is what the server gave for it, if it gave something."""

    __slots__ = ("handle", "open_flags")

    inode: FuseInode  # type: ignore[mutable-override]  # an open file never changes its inode

    def __init__(self, location: VirtualDentry, flags: int, creds: Credentials, opened: OpenOut | None) -> None:
        super().__init__(location, flags, creds)
        self.handle = None if opened is None else opened.fh
        self.open_flags = 0 if opened is None else opened.open_flags

    def ask(self, opcode: Opcode, *parts: bytes | memoryview, size: int | None = None) -> bytes:
        """A request about the file, by whoever uses it."""
        self.inode.check_good()
        self.inode.fs.note_caller(self.creds)
        return self.inode.fs.ask(opcode, self.inode.nodeid, *parts, size=size)

    def ask_if_known(self, opcode: Opcode, *parts: bytes, size: int | None = None) -> bytes | None:
        """The same for what a server need not know."""
        self.inode.check_good()
        self.inode.fs.note_caller(self.creds)
        return self.inode.fs.ask_if_known(opcode, self.inode.nodeid, parts, size)

    @property
    def lock_keeper(self) -> FuseLocks:
        """See `File.lock_keeper`."""
        return self.inode.fs.file_locks

    # contents

    def read_at(self, size: int, offset: int) -> bytes:
        """In pieces that the server takes, until one is short. Unless it was opened with FOPEN_DIRECT_IO, a file ends where its
        attributes say.

        Errors: EIO for more than was asked for; the server's.
        """
        if not self.open_flags & abi.FOPEN_DIRECT_IO:
            if offset + size > self.inode.size:
                self._refresh()
            size = min(size, self.inode.size - offset)
        parts = []
        limit = self.inode.fs.max_read
        while size > 0:
            wanted = min(size, limit)
            data = self.ask(Opcode.READ, DATA_IN.pack(self.handle or 0, offset, wanted, 0, 0, self.flags))
            if len(data) > wanted:
                raise error(errno.EIO)
            parts.append(data)
            size -= len(data)
            offset += len(data)
            if len(data) < wanted:
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """See `File.write`; the end of the file is asked for when the data go there."""
        if self.flags & os.O_APPEND and self.writable and data:
            self._refresh()
        return super().write(data)

    def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """See `File.pwrite`."""
        if self.flags & os.O_APPEND and self.writable and data:
            self._refresh()
        return super().pwrite(data, offset)

    def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """In pieces that the server takes, until one is taken in part.

        Errors: the server's, if nothing was written; EIO for more than was there to write.
        """
        if not data:
            return 0
        inode = self.inode
        with inode.fs.lock:
            if not self.open_flags & abi.FOPEN_DIRECT_IO:
                self.drop_privileges()
            try:
                return self._write_pieces(memoryview(data).cast("B"), offset)
            finally:
                inode.forget_attributes()

    def _write_pieces(self, data: memoryview, offset: int) -> int:
        limit = self.inode.fs.connection.max_write
        done = 0
        while done < len(data):
            piece = data[done : done + limit]
            head = DATA_IN.pack(self.handle or 0, offset + done, len(piece), 0, 0, self.flags)
            try:
                taken = WRITE_OUT.unpack(self.ask(Opcode.WRITE, head, piece, size=WRITE_OUT.size))
                if taken > len(piece):
                    raise error(errno.EIO)
            except OSError:
                if done:
                    break
                raise
            done += taken
            self.inode.size = max(self.inode.size, offset + done)
            if taken < len(piece):
                break
        return done

    def drop_privileges(self) -> None:
        """What a changed file may no longer do to whoever executes it: set by us, unless writes go to the server directly."""
        inode = self.inode
        if self.creds.has(Capability.FSETID) or not inode.mode & (stat.S_ISUID | stat.S_ISGID):
            return
        mode = stat.S_IMODE(without_set_id(self.creds, inode.mode, inode.gid))
        if mode != stat.S_IMODE(inode.mode):
            self.inode.fs.note_caller(self.creds)
            inode.change(SetStat(mode=mode), None)

    def allocate_range(self, mode: int, offset: int, length: int) -> None:
        """Errors: EOPNOTSUPP for modes that the protocol or the server does not know; the server's."""
        inode = self.inode
        if mode & ~_ALLOCATION_MODES:
            raise error(errno.EOPNOTSUPP)
        with inode.fs.lock:
            self.drop_privileges()
            wanted = FALLOCATE_IN.pack(self.handle or 0, offset, length, mode)
            if self.ask_if_known(Opcode.FALLOCATE, wanted, size=0) is None:
                raise error(errno.EOPNOTSUPP)
            inode.forget_attributes()

    def copy_to(self, start: int, target: File, to: int, length: int) -> int | None:
        """Left to a server that holds both files and knows how. Errors: EIO for more than was asked for; the server's."""
        if not isinstance(target, FuseFile) or target.inode.fs is not self.inode.fs:
            return None
        wanted = COPY_FILE_RANGE_IN.pack(
            *(self.handle or 0, start, target.inode.nodeid, target.handle or 0, to, length, 0),
        )
        if not target.open_flags & abi.FOPEN_DIRECT_IO:
            target.drop_privileges()
        try:
            answer = self.ask_if_known(Opcode.COPY_FILE_RANGE, wanted, size=WRITE_OUT.size)
        except OSError as problem:
            if problem.errno in {errno.EXDEV, errno.EOPNOTSUPP}:
                return None
            raise
        target.inode.forget_attributes()
        if answer is None:
            return None
        copied = WRITE_OUT.unpack(answer)
        if copied > length:
            raise error(errno.EIO)
        return copied

    # position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """See `File.seek`; the end is asked for."""
        if whence == os.SEEK_END and self.seekable:
            self.check_open()
            self._refresh()
        return super().seek(offset, whence)

    def seek_hole_or_data(self, offset: int, whence: int) -> int:
        """The server's holes; none with a server that has no LSEEK. Errors: ENXIO past the end; the server's."""
        answer = None
        if offset >= 0:
            answer = self.ask_if_known(
                Opcode.LSEEK, LSEEK_IN.pack(self.handle or 0, offset, whence), size=LSEEK_OUT.size
            )
        if answer is None:
            self._refresh()
            return super().seek_hole_or_data(offset, whence)
        return LSEEK_OUT.unpack(answer)

    def _left(self) -> int:
        self._refresh()
        left = super()._left()
        # A server that answers each read as it comes need not know a size.
        return max(left + 1, _CHUNK) if self.open_flags & abi.FOPEN_DIRECT_IO else left

    # attributes and the rest

    def _refresh(self) -> None:
        self.inode.fs.note_caller(self.creds)
        self.inode.refresh(self.handle)

    def stat(self) -> os.stat_result:
        """See `File.stat`; asked for by the handle, which works for a file without names too."""
        fs = self.inode.fs
        fs.note_caller(self.creds)
        fs.check_caller()
        self.inode.refresh(self.handle)
        return self.inode.told_stat()

    def set_stat(self, changes: SetStat) -> None:
        """See `File.set_stat`; a new size goes by the handle."""
        self.check_open()
        fs = self.inode.fs
        fs.note_caller(self.creds)
        if changes.size is None:
            super().set_stat(changes)
            return
        with fs.lock:
            self.inode.change(checked_set_stat(self.creds, self.inode, changes), self.handle)

    def ioctl(self, request: int, argument: object = None) -> object:
        """A request whose number tells the size of its argument (ioctl(2), _IOC of Linux). Bytes are sent if it writes, and come back
        if it reads; without either the number is sent, and the result comes back.

        Errors: ENOTTY from a server that takes none; EINVAL for an argument that does not fit; EIO; the server's.
        """
        self.check_open()
        direction, size = request >> 30 & 3, request >> 16 & 0x3FFF
        data, number = b"", 0
        if direction & _IOC_WRITE:
            if not isinstance(argument, bytes | bytearray) or len(argument) != size:
                raise error(errno.EINVAL)
            data = bytes(argument)
        elif isinstance(argument, int):
            number = argument
        room = size if direction & _IOC_READ else 0
        head = IOCTL_IN.pack(self.handle or 0, 0, request, number, len(data), room)
        answer = self.ask_if_known(Opcode.IOCTL, head, data)
        if answer is None:
            raise error(errno.ENOTTY)
        if not IOCTL_OUT.size <= len(answer) <= IOCTL_OUT.size + room:
            raise error(errno.EIO)
        out = IOCTL_OUT.unpack(answer)
        if out.flags & abi.IOCTL_RETRY:
            raise error(errno.EIO)
        if out.result < 0:
            raise error(-out.result)
        return answer[IOCTL_OUT.size :] if room else out.result

    def sync(self) -> None:
        """See `File.sync`."""
        super().sync()
        self.ask_if_known(Opcode.FSYNC, FSYNC_IN.pack(self.handle or 0, 0), size=0)

    def flush(self, owner: int) -> bool:
        """A descriptor is closed by a lock owner that the server knows by a number; whether it hears of that.

        Errors: EIO; the server's.
        """
        if self.open_flags & abi.FOPEN_NOFLUSH:
            return False
        return self.ask_if_known(Opcode.FLUSH, FLUSH_IN.pack(self.handle or 0, owner), size=0) is not None

    def release(self) -> None:
        """FLUSH, whose error is close's, then RELEASE. Both say whose locks end."""
        owners, flocked = self.lock_keeper.end(self)
        with contextlib.ExitStack() as ending:
            if self.handle is not None:
                ending.callback(self._give_handle_back, self.handle, flocked)
            for owner in owners:
                ending.callback(self.flush, owner)

    def _give_handle_back(self, handle: int, flocked: int | None) -> None:
        unlock = 0 if flocked is None else abi.RELEASE_FLOCK_UNLOCK
        head = RELEASE_IN.pack(handle, self.flags, unlock, flocked or 0)
        with contextlib.suppress(OSError):
            self.inode.fs.ask(Opcode.RELEASE, self.inode.nodeid, head, creds=self.creds)


class FuseUnseekable(FuseFile):
    """FOPEN_NONSEEKABLE: read and write move on, but nobody chooses where to."""

    __slots__ = ()

    seekable: ClassVar[bool] = False


class FuseStream(FuseUnseekable):
    """FOPEN_STREAM: there is no position at all."""

    __slots__ = ()

    def read_at(self, size: int, offset: int) -> bytes:
        """See `FuseFile.read_at`."""
        return super().read_at(size, 0)

    def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """See `FuseFile.write_at`."""
        return super().write_at(data, 0)


class FuseDirectoryFile(DirectoryFile):
    """An open directory."""

    __slots__ = ("_open",)

    inode: FuseInode  # type: ignore[mutable-override]  # an open file never changes its inode

    def __init__(self, location: VirtualDentry, flags: int, creds: Credentials, listing: OpenListing) -> None:
        super().__init__(location, flags, creds)
        self._open = listing

    def list_entries(self) -> list[DirectoryEntry]:
        """See `DirectoryFile.list_entries`."""
        self.inode.fs.note_caller(self.creds)
        return self._open.read_all()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As for any file, by the size that the server gives a directory (generic_file_llseek of Linux)."""
        return File.seek(self, offset, whence)

    def stat(self) -> os.stat_result:
        """See `File.stat`."""
        self.inode.fs.note_caller(self.creds)
        return self.inode.stat()

    def set_stat(self, changes: SetStat) -> None:
        """See `File.set_stat`."""
        self.inode.fs.note_caller(self.creds)
        super().set_stat(changes)

    def sync(self) -> None:
        """See `File.sync`."""
        super().sync()
        self.inode.fs.note_caller(self.creds)
        self._open.sync()

    def release(self) -> None:
        """RELEASEDIR."""
        self.inode.fs.note_caller(self.creds)
        self._open.close()
