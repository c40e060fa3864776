"""A directory of the server's."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from vfs.abi import RENAME_NOREPLACE
from vfs.credentials import new_owner
from vfs.errors import error
from vfs.fs.fuse.inode import FuseInode
from vfs.fs.fuse.listing import open_listing
from vfs.fuse.abi import Opcode
from vfs.fuse.messages import ENTRY_SIZE, Entry, encode_device, strings, unpack_entry
from vfs.fuse.records import (
    CREATE_IN,
    LINK_IN,
    MKDIR_IN,
    MKNOD_IN,
    OPEN_OUT,
    RENAME2_IN,
    RENAME_IN,
    Attr,
)
from vfs.inode import DirectoryEntry, Inode

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.file import File
    from vfs.fs.fuse.filesystem import FuseFilesystem
    from vfs.mount import VirtualDentry
    from vfs.options import MkdirOptions, MknodOptions, RenameOptions


class Known(NamedTuple):
    """What a name means, None for nothing, and until when that is good."""

    inode: FuseInode | None
    expires: float


class FuseDirectory(FuseInode):
    """A directory. `entries` are the names that the server told about and may be relied on for a while; `wants_plus` says that
    names of the last listing were looked up afterwards, so that the next had better bring their attributes too.
    """

    __slots__ = ("entries", "wants_plus")

    def __init__(self, fs: FuseFilesystem, nodeid: int, generation: int, attr: Attr) -> None:
        self.entries: dict[str, Known] = {}
        self.wants_plus = False
        super().__init__(fs, nodeid, generation, attr)

    # looking

    def lookup(self, name: str) -> Inode:
        """Errors: ENOENT; EIO; the server's."""
        inode = self.find(name)
        if inode is None:
            raise error(errno.ENOENT, name)
        return inode

    def find(self, name: str) -> FuseInode | None:
        """See `Inode.find`; the server is asked when what it said is good no more."""
        self.fs.connection.listen()
        known = self.entries.get(name)
        if known is not None and known.expires > time.monotonic() and not (known.inode and known.inode.bad):
            return known.inode
        with self.fs.lock:
            return self._look_up(name)

    def _look_up(self, name: str) -> FuseInode | None:
        self.check_good()
        self.wants_plus = True
        try:
            answer = self.fs.ask(Opcode.LOOKUP, self.nodeid, strings(name), size=ENTRY_SIZE)
        except FileNotFoundError:
            self.entries.pop(name, None)
            return None
        entry = unpack_entry(answer)
        if not entry.out.nodeid:
            self._remember(name, None, entry)
            return None
        return self.take(name, entry)

    def take(self, name: str, entry: Entry, kind: int | None = None) -> FuseInode:
        """Note what the server said a name means.

        Errors: EIO.
        """
        self.entries.pop(name, None)
        inode = self.fs.inode_of(entry, kind)
        self._remember(name, inode, entry)
        return inode

    def _remember(self, name: str, inode: FuseInode | None, entry: Entry) -> None:
        from vfs.fs.fuse.filesystem import until

        self.entries[name] = Known(inode, until(entry.out.entry_valid, entry.out.entry_valid_nsec))

    def iterate(self) -> Iterator[DirectoryEntry]:
        """The server's names in its order.

        Errors: EIO for a listing that is none; the server's.
        """
        self.check_good()
        listing = open_listing(self, os.O_RDONLY | os.O_DIRECTORY)
        try:
            entries = listing.read_all()
        finally:
            listing.close()
        yield from entries

    def open(self, location: VirtualDentry, flags: int, creds: Credentials) -> File:
        """Errors: EIO; the server's."""
        from vfs.fs.fuse.file import FuseDirectoryFile

        self.check_good()
        self.fs.note_caller(creds)
        return FuseDirectoryFile(location, flags, creds, open_listing(self, flags))

    # making

    def mknod(self, creds: Credentials, name: str, options: MknodOptions) -> Inode:
        """Errors: EIO; the server's."""
        self.fs.note_caller(creds)
        _, mode = new_owner(creds, self, options.mode)
        head = MKNOD_IN.pack(mode, encode_device(options.rdev), 0)
        return self._make(Opcode.MKNOD, name, stat.S_IFMT(mode), head, strings(name))

    def mkdir(self, creds: Credentials, name: str, options: MkdirOptions) -> Inode:
        """Errors: EIO; the server's."""
        self.fs.note_caller(creds)
        return self._make(Opcode.MKDIR, name, stat.S_IFDIR, MKDIR_IN.pack(options.mode, 0), strings(name))

    def symlink(self, creds: Credentials, name: str, target: str) -> Inode:
        """Errors: EIO; the server's."""
        self.fs.note_caller(creds)
        return self._make(Opcode.SYMLINK, name, stat.S_IFLNK, strings(name, target))

    def create(self, creds: Credentials, name: str, options: MknodOptions, flags: int) -> Inode:
        """Make a regular file and open it in one step, or in two with a server that has no CREATE.

        Errors: EIO; the server's.
        """
        fs = self.fs
        fs.note_caller(creds)
        self.check_good()
        _, mode = new_owner(creds, self, options.mode)
        head = CREATE_IN.pack(flags & ~os.O_NOCTTY, mode, 0, 0)
        answer = fs.ask_if_known(Opcode.CREATE, self.nodeid, (head, strings(name)), ENTRY_SIZE + OPEN_OUT.size)
        if answer is None:
            return self.mknod(creds, name, options)
        inode = self._made(name, unpack_entry(answer), stat.S_IFREG)
        fs.opened = (inode, OPEN_OUT.unpack(answer, ENTRY_SIZE))
        return inode

    def tmpfile(self, creds: Credentials, mode: int, *, linkable: bool) -> Inode:
        """See `Inode.tmpfile`. Errors: EOPNOTSUPP from a server that does not know it; EIO; the server's."""
        fs = self.fs
        fs.note_caller(creds)
        self.check_good()
        flags = os.O_TMPFILE | os.O_RDWR | (0 if linkable else os.O_EXCL)
        _, mode = new_owner(creds, self, stat.S_IFREG | mode)
        parts = (CREATE_IN.pack(flags, mode, 0, 0), strings("/"))
        answer = fs.ask_if_known(Opcode.TMPFILE, self.nodeid, parts, ENTRY_SIZE + OPEN_OUT.size)
        if answer is None:
            raise error(errno.EOPNOTSUPP)
        inode = fs.inode_of(unpack_entry(answer), stat.S_IFREG)
        inode.linkable = linkable
        fs.opened = (inode, OPEN_OUT.unpack(answer, ENTRY_SIZE))
        return inode

    def _make(self, opcode: Opcode, name: str, kind: int, *parts: bytes) -> FuseInode:
        self.check_good()
        entry = unpack_entry(self.fs.ask(opcode, self.nodeid, *parts, size=ENTRY_SIZE))
        return self._made(name, entry, kind)

    def _made(self, name: str, entry: Entry, kind: int) -> FuseInode:
        self.forget_attributes()
        return self.take(name, entry, kind)

    def link(self, name: str, inode: Inode) -> None:
        """Errors: EPERM from a server without links; EIO; the server's."""
        assert isinstance(inode, FuseInode)
        self.check_good()
        inode.check_good()
        parts = (LINK_IN.pack(inode.nodeid), strings(name))
        answer = self.fs.ask_if_known(Opcode.LINK, self.nodeid, parts, ENTRY_SIZE)
        if answer is None:
            raise error(errno.EPERM, name)
        inode.forget_attributes()
        # A server may call the new name's file another node: whoever looks it up next sees that one.
        self._made(name, unpack_entry(answer), stat.S_IFMT(inode.mode))

    # removing and moving

    def unlink(self, name: str, inode: Inode) -> None:
        """Errors: EIO; the server's."""
        self._remove(Opcode.UNLINK, name, inode)
        inode.nlink = max(inode.nlink - 1, 0)

    def rmdir(self, name: str, inode: Inode) -> None:
        """Errors: ENOTEMPTY and the server's own; EIO."""
        self._remove(Opcode.RMDIR, name, inode)
        inode.nlink = 0

    def _remove(self, opcode: Opcode, name: str, inode: Inode) -> None:
        assert isinstance(inode, FuseInode)
        self.check_good()
        self.fs.ask(opcode, self.nodeid, strings(name), size=0)
        self.entries.pop(name, None)
        self.forget_attributes()
        inode.forget_attributes()

    def rename(self, name: str, new_directory: Inode, new_name: str, options: RenameOptions) -> None:
        """Errors: EINVAL for flags that the server does not know; EIO; the server's."""
        assert isinstance(new_directory, FuseDirectory)
        self.check_good()
        names = strings(name, new_name)
        if options.flags:
            head = RENAME2_IN.pack(new_directory.nodeid, options.flags)
            if self.fs.ask_if_known(Opcode.RENAME2, self.nodeid, (head, names), 0) is None:
                raise error(errno.EINVAL, name)
        else:
            self.fs.ask(Opcode.RENAME, self.nodeid, RENAME_IN.pack(new_directory.nodeid), names, size=0)
        moved = self.entries.pop(name, None)
        replaced = new_directory.entries.pop(new_name, None)
        for known in (moved, replaced):
            if known is not None and known.inode is not None:
                known.inode.forget_attributes()
        if moved is not None and not options.flags & ~RENAME_NOREPLACE:
            new_directory.entries[new_name] = moved
        self.forget_attributes()
        new_directory.forget_attributes()
