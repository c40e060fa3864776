"""A directory of the machine, and the names that exist in memory only."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vfs.abi import RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT
from vfs.credentials import ROOT, new_owner
from vfs.errors import error
from vfs.fs.hostfs import unnamed
from vfs.fs.hostfs.inode import HostInode
from vfs.fs.static import Synthetic, synthetic_inode
from vfs.inode import DirectoryEntry, Inode

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.fs.hostfs.filesystem import HostFilesystem
    from vfs.options import MkdirOptions, MknodOptions, RenameOptions

_WHITEOUT = 0
_READ_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class HostDirectory(HostInode):
    """A directory of the machine. `synthetic` holds names made in memory; they hide what the machine has by the same name
    later.
    """

    __slots__ = ("synthetic",)

    def __init__(
        self, fs: HostFilesystem, ino: int, found: os.stat_result, parent: HostDirectory | None, name: str
    ) -> None:
        super().__init__(fs, ino, found, parent, name)
        self.synthetic: dict[str, Inode] = {}

    def lookup(self, name: str) -> Inode:
        """Errors: ENOENT; ESTALE; EACCES, ENAMETOOLONG from the machine."""
        inode = self.synthetic.get(name)
        if inode is not None:
            return inode
        with self.fs.lock:
            found = os.stat(name, dir_fd=self.descriptor(), follow_symlinks=False)
            return self.fs.inode_of(self, name, found)

    def iterate(self) -> Iterator[DirectoryEntry]:
        """The machine's names in its order, then the synthetic ones."""
        with self.fs.lock:
            fd = self._opened(".", _READ_DIRECTORY)
            self.fresh = False
            try:
                with self.fs.descriptors.with_room(lambda: os.scandir(fd)) as listing:
                    entries = [
                        DirectoryEntry(each.name, self.fs.ino_on(self.device, each.inode()), _type_of(each))
                        for each in listing
                    ]
            finally:
                os.close(fd)
        yield from (each for each in entries if each.name not in self.synthetic)
        for name, inode in list(self.synthetic.items()):
            yield DirectoryEntry(name, inode.ino, stat.S_IFMT(inode.mode))

    def make_synthetic(self, name: str, what: Synthetic) -> None:
        """See `SyntheticParent.make_synthetic`: the machine is not changed."""
        self.synthetic[name] = synthetic_inode(self.fs, what, self.fs.synthetic_inos, errno.EROFS)

    def _opened(self, name: str, flags: int) -> int:
        return self.fs.descriptors.with_room(lambda: os.open(name, flags, 0o600, dir_fd=self.descriptor()))

    # changes of the machine

    def mknod(self, creds: Credentials, name: str, options: MknodOptions) -> Inode:
        """Errors: EROFS; EPERM for a device unless `devices` allows it, and without CAP_MKNOD there; the machine's own."""
        self.fs.check_writable()
        kind = stat.S_IFMT(options.mode)
        if kind == stat.S_IFREG:
            new = self._opened(name, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                return self._made(creds, name, options.mode, os.fstat(new))
            finally:
                os.close(new)
        is_device = kind == stat.S_IFBLK or (kind == stat.S_IFCHR and options.rdev != _WHITEOUT)
        if is_device and not self.fs.devices:
            raise error(errno.EPERM, name)
        os.mknod(name, kind | 0o600, options.rdev, dir_fd=self.descriptor())
        return self._made(creds, name, options.mode)

    def mkdir(self, creds: Credentials, name: str, options: MkdirOptions) -> Inode:
        """Errors: EROFS; the machine's own."""
        self.fs.check_writable()
        os.mkdir(name, 0o700, dir_fd=self.descriptor())
        return self._made(creds, name, stat.S_IFDIR | options.mode)

    def symlink(self, creds: Credentials, name: str, target: str) -> Inode:
        """Errors: EROFS; the machine's own."""
        self.fs.check_writable()
        os.symlink(target, name, dir_fd=self.descriptor())
        return self._made(creds, name, stat.S_IFLNK | 0o777)

    def tmpfile(self, creds: Credentials, mode: int, *, linkable: bool) -> Inode:
        """Errors: EROFS; EOPNOTSUPP from a file system of the machine that has none; its own."""
        self.fs.check_writable()
        inode = unnamed.make(self, linkable=linkable)
        self.fs.add(inode)
        try:
            self._give(creds, inode, stat.S_IFREG | mode)
        except OSError:
            inode.let_go()
            raise
        return inode

    def _made(self, creds: Credentials, name: str, mode: int, made: os.stat_result | None = None) -> Inode:
        """Give what was just made the owner and the mode that it should have, or take it back. It is looked at first, as somebody
        may have put another file in its place that is not ours to give away.

        Errors: EPERM when the machine does not let us give files to `creds`; ESTALE for another file.
        """
        self.fresh = False
        inode = self.lookup(name)
        assert isinstance(inode, HostInode)
        # Nobody can make a file of ours that has one name only but ourselves. What a directory set the group to is no matter.
        alone = stat.S_ISDIR(mode) or inode.nlink == 1
        same = inode.is_file(made) if made is not None else inode.uid == os.geteuid() and alone
        if not same or stat.S_IFMT(inode.mode) != stat.S_IFMT(mode):
            raise error(errno.ESTALE, name)
        try:
            self._give(creds, inode, mode)
        except OSError:
            self._remove(name, inode)
            raise
        return inode

    def _give(self, creds: Credentials, inode: HostInode, mode: int) -> None:
        gid, mode = new_owner(creds, self, mode)
        path = inode.link_path()
        if (inode.uid, inode.gid) != (creds.uid, gid):
            os.chown(path, creds.uid, gid)
        if not stat.S_ISLNK(mode):
            os.chmod(path, stat.S_IMODE(mode))
        inode.refresh(os.fstat(inode.descriptor()))

    def _remove(self, name: str, inode: Inode) -> None:
        remove = os.rmdir if stat.S_ISDIR(inode.mode) else os.unlink
        remove(name, dir_fd=self.descriptor())
        self._lost(name, inode)

    def _lost(self, name: str, inode: Inode) -> None:
        """A name of a file is gone."""
        self.fresh = False
        if isinstance(inode, HostInode):
            self.fs.descriptors.drop(inode)
            inode.lose(self, name)

    def link(self, name: str, inode: Inode) -> None:
        """Errors: EROFS; EPERM for what exists in memory only; the machine's own."""
        self.fs.check_writable()
        if not isinstance(inode, HostInode) or inode.parent is None:
            raise error(errno.EPERM, name)
        # By descriptor on both sides: a source that was replaced meanwhile is noticed, not linked.
        os.link(inode.link_path(), name, dst_dir_fd=self.descriptor(), follow_symlinks=True)
        self.fresh = False
        inode.move_to(self, name)
        inode.refresh(os.stat(name, dir_fd=self.descriptor(), follow_symlinks=False))

    def unlink(self, name: str, inode: Inode) -> None:
        """Errors: EROFS; the machine's own."""
        self.fs.check_writable()
        self._remove(name, inode)
        inode.nlink -= 1

    def rmdir(self, name: str, inode: Inode) -> None:
        """Errors: EROFS; ENOTEMPTY, and the machine's own."""
        self.fs.check_writable()
        self._remove(name, inode)
        inode.nlink = 0

    def rename(self, name: str, new_directory: Inode, new_name: str, options: RenameOptions) -> None:
        """Errors: EROFS; EINVAL without `HostCalls` for flags other than RENAME_NOREPLACE, which the VFS has looked after; the
        machine's own.
        """
        self.fs.check_writable()
        assert isinstance(new_directory, HostDirectory)
        calls, flags = self.fs.calls, options.flags
        if calls is None and flags & ~RENAME_NOREPLACE:
            raise error(errno.EINVAL, name)
        moved, replaced = self.find(name), new_directory.find(new_name)
        source = self.fs.descriptors.with_room(lambda: os.dup(self.descriptor()))
        try:
            target = new_directory.descriptor()
            if calls is None:
                os.rename(name, new_name, src_dir_fd=source, dst_dir_fd=target)
            else:
                calls.rename(source, name, target, new_name, flags)
        finally:
            os.close(source)
        self.fresh = new_directory.fresh = False
        for each, directory, old in ((moved, self, name), (replaced, new_directory, new_name)):
            if each is not None:
                directory._lost(old, each)  # noqa: SLF001  # another directory of this class
        # The next walk finds the moved file by its new name and notes it; what it replaced must not be found by the old one.
        new_directory.lookup(new_name)
        if flags & RENAME_EXCHANGE:
            self.lookup(name)
        elif flags & RENAME_WHITEOUT:
            self._made(options.whiteout_creds or ROOT, name, stat.S_IFCHR)


def _type_of(entry: os.DirEntry[str]) -> int:
    if entry.is_symlink():
        return stat.S_IFLNK
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    if entry.is_file(follow_symlinks=False):
        return stat.S_IFREG
    return stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)
