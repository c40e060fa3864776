"""A file of the server's: its attributes for as long as they are good, and what can be asked about it."""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import TYPE_CHECKING, Final

from vfs import credentials
from vfs.abi import MAY_EXEC, PATH_MAX, XATTR_SIZE_MAX
from vfs.errors import error
from vfs.fuse import abi
from vfs.fuse.abi import InitFlags, Opcode
from vfs.fuse.messages import ATTR_REPLY_SIZE, decode_device, strings, unpack_attributes
from vfs.fuse.records import (
    ACCESS_IN,
    GETATTR_IN,
    GETXATTR_IN,
    SETATTR_IN,
    SETXATTR_IN,
    Attr,
    SetattrIn,
)
from vfs.inode import Inode

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.file import File
    from vfs.fs.fuse.filesystem import FuseFilesystem
    from vfs.mount import VirtualDentry
    from vfs.options import SetStat

_SECOND: Final = 1_000_000_000
_S_IFMT: Final = 0o170000
_ANYBODY_EXECUTES: Final = 0o111


class FuseInode(Inode):
    """A node of the server's, `generation` of those that had its number. `expires` is when the attributes must be asked for
    again. A `bad` node is one that the server made something else of: whoever still has it gets EIO.

    `mode` lacks the sticky bit where the server decides who may remove what; `shown_mode` is what stat(2) reports.
    """

    __slots__ = (
        "__weakref__",
        "bad",
        "block_size",
        "blocks",
        "expires",
        "generation",
        "linkable",
        "nodeid",
        "shown_mode",
        "target",
    )

    fs: FuseFilesystem  # type: ignore[mutable-override]  # an inode never changes its file system

    def __init__(self, fs: FuseFilesystem, nodeid: int, generation: int, attr: Attr) -> None:
        super().__init__(fs, attr.ino, attr.mode, attr.uid, attr.gid)
        self.nodeid = nodeid
        self.generation = generation
        self.bad = False
        self.linkable = False
        self.target: str | None = None
        self.update(attr, 0.0)

    # attributes

    def update(self, attr: Attr, expires: float) -> None:
        """Take over what the server said. Precondition: the kind of file is the same."""
        self.ino = attr.ino
        self.size = attr.size
        self.blocks = attr.blocks
        self.atime_ns = attr.atime * _SECOND + min(attr.atimensec, _SECOND - 1)
        self.mtime_ns = attr.mtime * _SECOND + min(attr.mtimensec, _SECOND - 1)
        self.ctime_ns = attr.ctime * _SECOND + min(attr.ctimensec, _SECOND - 1)
        self.shown_mode = attr.mode & 0xFFFF
        self.mode = self.shown_mode if self.fs.default_permissions else self.shown_mode & ~stat.S_ISVTX
        self.nlink = attr.nlink
        self.uid = attr.uid
        self.gid = attr.gid
        self.rdev = decode_device(attr.rdev)
        size = attr.blksize
        self.block_size = 1 << size.bit_length() - 1 if size else abi.PAGE_SIZE
        self.expires = expires

    def forget_attributes(self) -> None:
        """The server has to be asked again."""
        self.expires = 0.0
        self.target = None

    def check_good(self) -> None:
        """Errors: EIO for a node that became something else."""
        if self.bad:
            raise error(errno.EIO)

    def refresh(self, handle: int | None = None) -> bool:
        """Ask for the attributes if those known are good no more; whether that was done.

        Errors: EIO; the server's.
        """
        self.check_good()
        self.fs.connection.listen()
        if self.expires > time.monotonic():
            return False
        self._get_attributes(handle)
        return True

    def _get_attributes(self, handle: int | None = None) -> None:
        wanted = GETATTR_IN.pack(0, 0) if handle is None else GETATTR_IN.pack(abi.GETATTR_FH, handle)
        self._take_attributes(self.fs.ask(Opcode.GETATTR, self.nodeid, wanted, size=ATTR_REPLY_SIZE))

    def _take_attributes(self, answer: bytes) -> None:
        from vfs.fs.fuse.filesystem import until

        out, attr = unpack_attributes(answer)
        if attr.mode & _S_IFMT != self.mode & _S_IFMT or attr.size > (1 << 63) - 1:
            self.bad = True
            raise error(errno.EIO)
        self.update(attr, until(out.attr_valid, out.attr_valid_nsec))

    def stat(self) -> os.stat_result:
        """What the server says. Errors: EACCES for whom it is not there; EIO; the server's."""
        self.fs.check_caller()
        self.refresh()
        return self.told_stat()

    def told_stat(self) -> os.stat_result:
        """The attributes as they are known."""
        atime, mtime, ctime = self.atime_ns, self.mtime_ns, self.ctime_ns
        return os.stat_result(
            (
                *(self.shown_mode, self.ino, self.fs.dev, self.nlink, self.uid, self.gid, self.size),
                *(atime // _SECOND, mtime // _SECOND, ctime // _SECOND),
                *(atime / _SECOND, mtime / _SECOND, ctime / _SECOND),
                *(atime, mtime, ctime, self.block_size, self.blocks, self.rdev),
            )
        )

    def set_atime(self, now: int) -> None:
        """The server keeps the times, and has just served a look."""
        self.expires = 0.0

    def set_stat(self, changes: SetStat) -> None:
        """Errors: EACCES for whom the server is not there; the server's."""
        self.change(changes, None)

    def change(self, changes: SetStat, handle: int | None) -> None:
        """As `set_stat`, for an open file if `handle` is one."""
        self.fs.check_caller()
        self.check_good()
        wanted = _setattr(changes, self.mode & _S_IFMT, handle)
        if wanted.valid:
            answer = self.fs.ask(Opcode.SETATTR, self.nodeid, SETATTR_IN.pack(*wanted), size=ATTR_REPLY_SIZE)
            self._take_attributes(answer)

    # permission

    def check_access(self, creds: Credentials, mask: int) -> None:
        """Who is let in, and under default_permissions what the mode says; otherwise the server decides when it is asked
        (fuse_permission).

        Errors: EACCES; EIO; the server's.
        """
        fs = self.fs
        fs.note_caller(creds)
        self.check_good()
        if not fs.lets_in(creds):
            raise error(errno.EACCES)
        if fs.default_permissions:
            fresh = self.refresh()
            if credentials.permits(creds, self, mask):
                return
            if not fresh:
                # What was known may be out of date.
                self._get_attributes()
            credentials.check_permission(creds, self, mask)
        elif mask & MAY_EXEC and stat.S_ISREG(self.mode):
            fresh = self.refresh()
            if not self.mode & _ANYBODY_EXECUTES and not fresh:
                self._get_attributes()
            if not self.mode & _ANYBODY_EXECUTES:
                raise error(errno.EACCES)

    def access(self, creds: Credentials, mask: int) -> None:
        """See `Inode.access`: where the server decides, this asks it.

        Errors: EACCES; the server's.
        """
        fs = self.fs
        if fs.default_permissions:
            self.check_access(creds, mask)
            return
        fs.note_caller(creds)
        self.check_good()
        fs.check_caller()
        fs.ask_if_known(Opcode.ACCESS, self.nodeid, (ACCESS_IN.pack(mask),), 0)

    # a directory's names, a link's text

    def readlink(self) -> str:
        """Errors: EINVAL if this is no link; EIO for a text that cannot be one; the server's."""
        if not stat.S_ISLNK(self.mode):
            return super().readlink()
        self.check_good()
        fs = self.fs
        keeps = fs.connection.flags & InitFlags.CACHE_SYMLINKS
        fs.connection.listen()
        if keeps and self.target is not None:
            return self.target
        answer = fs.ask(Opcode.READLINK, self.nodeid)
        if len(answer) >= PATH_MAX or b"\0" in answer:
            raise error(errno.EIO)
        target = os.fsdecode(answer)
        if keeps:
            self.target = target
        return target

    # contents

    def open(self, location: VirtualDentry, flags: int, creds: Credentials) -> File:
        """Regular files are the server's; nodes and fifos are the VFS's own business, as on Linux."""
        self.check_good()
        if not stat.S_ISREG(self.mode):
            return super().open(location, flags, creds)
        from vfs.fs.fuse.file import open_regular

        self.fs.note_caller(creds)
        return open_regular(self, location, flags, creds)

    # extended attributes

    def get_xattr(self, name: str) -> bytes:
        """Errors: ENOTSUP from a server without any; ENODATA, and the server's own."""
        return self._read_xattrs(Opcode.GETXATTR, strings(name), name)

    def list_xattr(self) -> list[str]:
        """Errors: EACCES for whom the server is not there; ENOTSUP from one without any; EIO for a list that is none; the server's."""
        self.fs.check_caller()
        answer = self._read_xattrs(Opcode.LISTXATTR)
        if answer and (answer[-1] or b"\0\0" in answer or not answer[0]):
            raise error(errno.EIO)
        return [os.fsdecode(name) for name in answer.split(b"\0")[:-1]]

    def _read_xattrs(self, opcode: Opcode, encoded: bytes = b"", name: str | None = None) -> bytes:
        self.check_good()
        answer = self.fs.ask_if_known(opcode, self.nodeid, (GETXATTR_IN.pack(XATTR_SIZE_MAX), encoded))
        if answer is None:
            raise error(errno.ENOTSUP, name)
        if len(answer) > XATTR_SIZE_MAX:
            raise error(errno.EIO, name)
        return answer

    def set_xattr(self, name: str, value: bytes, flags: int) -> None:
        """Errors: ENOTSUP; EEXIST, ENODATA by flags; ENOSPC; the server's own."""
        head = SETXATTR_IN.pack(len(value), flags)
        self._write_xattr(Opcode.SETXATTR, name, head, strings(name), value)

    def remove_xattr(self, name: str) -> None:
        """Errors: ENOTSUP; ENODATA; the server's own."""
        self._write_xattr(Opcode.REMOVEXATTR, name, strings(name))

    def _write_xattr(self, opcode: Opcode, name: str, *parts: bytes) -> None:
        self.check_good()
        if self.fs.ask_if_known(opcode, self.nodeid, parts, 0) is None:
            raise error(errno.ENOTSUP, name)
        self.forget_attributes()


def _setattr(changes: SetStat, kind: int, handle: int | None) -> SetattrIn:
    """The request for a change (iattr_to_fattr). With a new size, the server moves mtime by itself."""
    valid = 0
    for bit, value in (
        (abi.FATTR_MODE, changes.mode),
        (abi.FATTR_UID, changes.uid),
        (abi.FATTR_GID, changes.gid),
        (abi.FATTR_SIZE, changes.size),
        (abi.FATTR_FH, handle),
        (abi.FATTR_ATIME, changes.atime_ns),
        (abi.FATTR_MTIME, changes.mtime_ns),
    ):
        if value is not None:
            valid |= bit
    if changes.touch or changes.atime_now:
        valid |= abi.FATTR_ATIME | abi.FATTR_ATIME_NOW
    if changes.touch or (changes.mtime_now and changes.size is None):
        valid |= abi.FATTR_MTIME | abi.FATTR_MTIME_NOW
    atime, mtime = divmod(changes.atime_ns or 0, _SECOND), divmod(changes.mtime_ns or 0, _SECOND)
    return SetattrIn(
        valid,
        fh=handle or 0,
        size=changes.size or 0,
        atime=atime[0],
        atimensec=atime[1],
        mtime=mtime[0],
        mtimensec=mtime[1],
        mode=kind | (changes.mode or 0),
        uid=changes.uid or 0,
        gid=changes.gid or 0,
    )
