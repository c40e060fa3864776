"""The inodes of a tmpfs that are no regular files: directories, links, nodes, fifos and sockets."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vfs.abi import RENAME_EXCHANGE, RENAME_WHITEOUT, XATTR_CREATE, XATTR_REPLACE
from vfs.credentials import ROOT, new_owner
from vfs.errors import error
from vfs.inode import DirectoryEntry, Inode
from vfs.xattr import CAPABILITY

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.fs.tmpfs.filesystem import TmpfsFilesystem
    from vfs.options import MkdirOptions, MknodOptions, RenameOptions, SetStat

_S_IFMT: Final = 0o170000
_S_IFREG: Final = stat.S_IFREG
# Linux counts so much in the size of a directory for each name, "." and ".." included (BOGO_DIRENT_SIZE).
_ENTRY_SIZE: Final = 20
# Longer texts take a page of their own (SHORT_SYMLINK_LEN, with the terminating NUL).
_INLINE_LINK: Final = 128


class TmpfsInode(Inode):
    """What all files of a tmpfs have in common; by itself a node, fifo or socket."""

    __slots__ = ("_btime_ns", "xattrs")

    fs: TmpfsFilesystem  # type: ignore[mutable-override]  # an inode never changes its file system

    def __init__(self, fs: TmpfsFilesystem, mode: int, uid: int, gid: int) -> None:
        # Spelled out rather than handed up: a million of these are made.
        self.fs = fs
        self.ino = next(fs.inos)
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.nlink = 1
        self.size = 0
        self.rdev = 0
        self.atime_ns = self.mtime_ns = self.ctime_ns = self._btime_ns = time.time_ns()
        self.xattrs: dict[str, bytes] | None = None

    def stat(self) -> os.stat_result:
        """Only contents take blocks."""
        return self.stat_result(0)

    def stat_result(self, blocks: int) -> os.stat_result:
        """See `Inode.stat_result`. As long as nothing changes, whoever asks again is given the same one: to see that nothing has
        is a third of the work.
        """
        attributes = (
            self.mode,
            self.nlink,
            self.uid,
            self.gid,
            self.size,
            self.atime_ns,
            self.mtime_ns,
            self.ctime_ns,
            blocks,
        )
        kept = self.fs.stat_results.get(self)
        if kept is not None and kept[0] == attributes:
            return kept[1]
        result = super().stat_result(blocks)
        self.fs.keep_stat_result(self, attributes, result)
        return result

    def birth_ns(self) -> int | None:
        """See `Inode.birth_ns`."""
        return self._btime_ns

    def set_stat(self, changes: SetStat) -> None:
        """See `Inode.set_stat`."""
        now = time.time_ns()
        if changes.size is not None:
            if self.resize(changes.size):
                self.mtime_ns = now
            elif not changes.mtime_now and changes.mode is None:
                return
        if self.xattrs and (changes.size is not None or (changes.chown and not stat.S_ISDIR(self.mode))):
            self.drop_capability()
        if changes.mode is not None:
            self.mode = stat.S_IFMT(self.mode) | changes.mode
        if changes.uid is not None:
            self.uid = changes.uid
        if changes.gid is not None:
            self.gid = changes.gid
        self._set_times(changes, now)

    def _set_times(self, changes: SetStat, now: int) -> None:
        if changes.touch or changes.atime_now:
            self.atime_ns = now
        elif changes.atime_ns is not None:
            self.atime_ns = changes.atime_ns
        if changes.touch or changes.mtime_now:
            self.mtime_ns = now
        elif changes.mtime_ns is not None:
            self.mtime_ns = changes.mtime_ns
        self.ctime_ns = now

    def resize(self, size: int) -> bool:
        """Set the size; whether that is a change of contents, which moves their time. Errors: EINVAL: only regular files have one."""
        raise error(errno.EINVAL)

    def get_name(self) -> None:
        """The file, which had no name, gets its first."""

    def drop_link(self, now: int) -> None:
        """One name less; the last one takes the file along."""
        self.ctime_ns = now
        self.nlink -= 1
        if self.nlink:
            self.fs.uncharge_inode()
        else:
            self.free()

    def free(self) -> None:
        """Give back what the file took."""
        self.fs.uncharge_inode()
        if self.xattrs:
            for name, value in self.xattrs.items():
                self.fs.uncharge_xattr(name, value)

    def get_xattr(self, name: str) -> bytes:
        """See `Inode.get_xattr`."""
        value = (self.xattrs or {}).get(name)
        if value is None:
            raise error(errno.ENODATA, name)
        return value

    def set_xattr(self, name: str, value: bytes, flags: int) -> None:
        """See `Inode.set_xattr`. Attributes take their room from that of inodes."""
        xattrs = self.xattrs or {}
        self.fs.charge_xattr(name, value)
        old = xattrs.get(name)
        if (flags & XATTR_CREATE and old is not None) or (flags & XATTR_REPLACE and old is None):
            self.fs.uncharge_xattr(name, value)
            raise error(errno.ENODATA if old is None else errno.EEXIST, name)
        if old is not None:
            self.fs.uncharge_xattr(name, old)
        self.xattrs = {**xattrs, name: bytes(value)}
        self.ctime_ns = time.time_ns()

    def drop_capability(self) -> None:
        """Forget what the file grants to whoever executes it; an empty value grants nothing, and stays."""
        if self.xattrs and self.xattrs.get(CAPABILITY):
            self.remove_xattr(CAPABILITY)

    def list_xattr(self) -> list[str]:
        """See `Inode.list_xattr`."""
        return list(self.xattrs or ())

    def remove_xattr(self, name: str) -> None:
        """See `Inode.remove_xattr`."""
        self.fs.uncharge_xattr(name, self.get_xattr(name))
        self.xattrs = {key: value for key, value in (self.xattrs or {}).items() if key != name}
        self.ctime_ns = time.time_ns()


class Symlink(TmpfsInode):
    """A symbolic link."""

    __slots__ = ("target",)

    def __init__(self, fs: TmpfsFilesystem, uid: int, gid: int, target: str) -> None:
        super().__init__(fs, stat.S_IFLNK | 0o777, uid, gid)
        self.target = target
        self.size = len(os.fsencode(target))
        if self.size >= _INLINE_LINK:
            fs.charge_pages(1)

    def stat(self) -> os.stat_result:
        """A long text takes a page."""
        return self.stat_result(8 if self.size >= _INLINE_LINK else 0)

    def readlink(self) -> str:
        """See `Inode.readlink`."""
        return self.target

    def free(self) -> None:
        """See `TmpfsInode.free`."""
        super().free()
        if self.size >= _INLINE_LINK:
            self.fs.uncharge_pages(1)


class Directory(TmpfsInode):
    """A directory: names and their inodes, in the order in which they were made.

    Invariant: nlink is 2 and one for each directory in it, 0 when it was removed.
    """

    __slots__ = ("entries",)

    def __init__(self, fs: TmpfsFilesystem, mode: int, uid: int, gid: int) -> None:
        super().__init__(fs, mode, uid, gid)
        self.nlink = 2
        self.size = 2 * _ENTRY_SIZE
        self.entries: dict[str, TmpfsInode] = {}

    def lookup(self, name: str) -> Inode:
        """See `Inode.lookup`."""
        inode = self.entries.get(name)
        if inode is None:
            raise error(errno.ENOENT, name)
        return inode

    def find(self, name: str) -> Inode | None:
        """See `Inode.find`."""
        return self.entries.get(name)

    def iterate(self) -> Iterator[DirectoryEntry]:
        """See `Inode.iterate`."""
        items = list(self.entries.items())
        return iter([DirectoryEntry(name, inode.ino, inode.mode & 0o170000) for name, inode in items])

    def names(self) -> list[str]:
        """See `Inode.names`."""
        return list(self.entries)

    def mknod(self, creds: Credentials, name: str, options: MknodOptions) -> Inode:
        """See `Inode.mknod`."""
        fs = self.fs
        gid, mode = creds.gid, options.mode
        if self.mode & stat.S_ISGID:
            gid, mode = new_owner(creds, self, mode)
        fs.charge_inode()
        if mode & _S_IFMT == _S_IFREG:
            inode: TmpfsInode = fs.regular_file(fs, mode, creds.uid, gid)
        else:
            inode = TmpfsInode(fs, mode, creds.uid, gid)
            inode.rdev = options.rdev
        self.add(name, inode, inode.ctime_ns)
        return inode

    def mkdir(self, creds: Credentials, name: str, options: MkdirOptions) -> Inode:
        """See `Inode.mkdir`."""
        gid, mode = new_owner(creds, self, stat.S_IFDIR | options.mode)
        self.fs.charge_inode()
        inode = Directory(self.fs, mode, creds.uid, gid)
        self.add(name, inode, inode.ctime_ns)
        self.nlink += 1
        return inode

    def symlink(self, creds: Credentials, name: str, target: str) -> Inode:
        """See `Inode.symlink`."""
        gid, _ = new_owner(creds, self, stat.S_IFLNK)
        self.fs.charge_inode()
        try:
            inode = Symlink(self.fs, creds.uid, gid, target)
        except OSError:
            self.fs.uncharge_inode()
            raise
        self.add(name, inode, inode.ctime_ns)
        return inode

    def link(self, name: str, inode: Inode) -> None:
        """See `Inode.link`."""
        assert isinstance(inode, TmpfsInode)
        if inode.nlink:
            # A file without a name has been counted since it was made.
            self.fs.charge_inode()
        else:
            inode.get_name()
        inode.nlink += 1
        inode.ctime_ns = now = time.time_ns()
        self.add(name, inode, now)

    def unlink(self, name: str, inode: Inode) -> None:
        """See `Inode.unlink`."""
        now = time.time_ns()
        self.remove(name, now).drop_link(now)

    def rmdir(self, name: str, inode: Inode) -> None:
        """See `Inode.rmdir`."""
        self.check_empty(name)
        now = time.time_ns()
        self.remove(name, now).drop_link(now)
        self.nlink -= 1

    def rename(self, name: str, new_directory: Inode, new_name: str, options: RenameOptions) -> None:
        """See `Inode.rename`."""
        assert isinstance(new_directory, Directory)
        if options.flags & RENAME_EXCHANGE:
            self._exchange(name, new_directory, new_name)
            return
        replaced = new_directory.entries.get(new_name)
        if replaced is not None:
            new_directory.check_empty(new_name)
        whiteout = options.flags & RENAME_WHITEOUT
        if whiteout:
            self.fs.charge_inode()
        inode = self.entries[name]
        inode.ctime_ns = now = time.time_ns()
        # Names that somebody has before and after are missing at no moment: those who list them take no lock.
        new_directory.add(new_name, inode, now)
        if whiteout:
            creds = options.whiteout_creds or ROOT
            gid, mode = new_owner(creds, self, stat.S_IFCHR)
            self.add(name, TmpfsInode(self.fs, mode, creds.uid, gid), now)
        else:
            self.remove(name, now)
        if new_directory is not self and isinstance(inode, Directory):
            self.nlink -= 1
            new_directory.nlink += 1
        if replaced is not None:
            replaced.drop_link(now)
            if isinstance(replaced, Directory):
                new_directory.nlink -= 1

    def _exchange(self, name: str, new_directory: Directory, new_name: str) -> None:
        ours, theirs = self.entries[name], new_directory.entries[new_name]
        self.entries[name], new_directory.entries[new_name] = theirs, ours
        change = isinstance(theirs, Directory) - isinstance(ours, Directory)
        self.nlink += change
        new_directory.nlink -= change
        for inode in (self, new_directory):
            inode.mtime_ns = inode.ctime_ns = time.time_ns()
        ours.ctime_ns = theirs.ctime_ns = self.ctime_ns

    def tmpfile(self, creds: Credentials, mode: int, *, linkable: bool) -> Inode:
        """See `Inode.tmpfile`."""
        gid, mode = new_owner(creds, self, stat.S_IFREG | mode)
        self.fs.charge_inode()
        inode = self.fs.unnamed_file(self.fs, mode, creds.uid, gid)
        inode.linkable = linkable
        return inode

    def drop_link(self, now: int) -> None:
        """A removed directory has no links: neither its name nor its own "."."""
        self.nlink = 1
        super().drop_link(now)

    def check_empty(self, name: str) -> None:
        """Errors: ENOTEMPTY for a directory with entries."""
        child = self.entries[name]
        if isinstance(child, Directory) and child.entries:
            raise error(errno.ENOTEMPTY, name)

    def add(self, name: str, inode: TmpfsInode, now: int) -> None:
        """Put a name in, over what has it; charges nothing and drops no link."""
        if name not in self.entries:
            self.size += _ENTRY_SIZE
        self.entries[name] = inode
        self.mtime_ns = self.ctime_ns = now

    def remove(self, name: str, now: int) -> TmpfsInode:
        """Take a name out; drops no link."""
        self.size -= _ENTRY_SIZE
        self.mtime_ns = self.ctime_ns = now
        return self.entries.pop(name)
