"""A directory seen through an overlay: the directories of the layers merged."""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from vfs import dcache
from vfs.abi import RENAME_NOREPLACE
from vfs.errors import error
from vfs.fs.overlay import layers
from vfs.fs.overlay.copy_up import copy_up
from vfs.fs.overlay.inode import OverlayInode
from vfs.inode import DirectoryEntry, Inode

if TYPE_CHECKING:
    import os

    from vfs.credentials import Credentials
    from vfs.dentry import Dentry
    from vfs.fs.overlay.filesystem import OverlayFilesystem
    from vfs.mount import VirtualDentry
    from vfs.options import MkdirOptions, MknodOptions, RenameOptions


class OverlayDirectory(OverlayInode):
    """A directory. `known` are the inodes handed out, so that a name means one of them as long as it is there."""

    __slots__ = ("known",)

    def __init__(
        self,
        fs: OverlayFilesystem,
        upper: VirtualDentry | None,
        lowers: tuple[VirtualDentry, ...],
        parent: OverlayDirectory | None,
        name: str,
    ) -> None:
        self.known: dict[str, OverlayInode] = {}
        super().__init__(fs, upper, lowers, parent, name)

    def refresh(self) -> os.stat_result:
        """Also: the links of a directory that several layers have are not counted; 1 says so (ovl_getattr)."""
        found = super().refresh()
        if (self.upper is not None) + len(self.lowers) > 1:
            self.nlink = 1
        return found

    # looking

    def lookup(self, name: str) -> Inode:
        """Errors: ENOENT; the layers' own."""
        inode = self.find(name)
        if inode is None:
            raise error(errno.ENOENT, name)
        return inode

    def find(self, name: str) -> OverlayInode | None:
        """See `Inode.find`."""
        with self.fs.lock:
            known = self.known.get(name)
            if known is not None:
                return known
            upper, lowers = layers.stack(self.upper, self.lowers, name)
            if upper is None and not lowers:
                return None
            inode = self.known[name] = self.fs.inode_of(upper, lowers, self, name)
            return inode

    def iterate(self) -> Iterator[DirectoryEntry]:
        """The names of all layers, each once, the upper one's first; whiteouts hide and are hidden."""
        seen: set[str] = set()
        for layer in (self.upper, *self.lowers):
            if layer is None:
                continue
            minor = layer.dentry.inode.fs.minor
            for name, ino, kind in layer.dentry.inode.iterate():
                if name in seen:
                    continue
                seen.add(name)
                if kind == stat.S_IFCHR and self._is_whiteout(layer, name):
                    continue
                known = self.known.get(name)
                yield DirectoryEntry(name, self.fs.ino_of(minor, ino) if known is None else known.ino, kind)

    def _is_whiteout(self, layer: VirtualDentry, name: str) -> bool:
        found = layers.find(layer, name)
        return found is not None and layers.is_whiteout(found.dentry.inode)

    # making

    def mknod(self, creds: Credentials, name: str, options: MknodOptions) -> Inode:
        """Errors: EPERM for a character device 0:0, which would be a whiteout; EROFS, ENOSPC."""
        if stat.S_ISCHR(options.mode) and options.rdev == 0:
            raise error(errno.EPERM, name)
        return self._make(name, lambda upper: dcache.mknod(creds, upper, name, options))

    def mkdir(self, creds: Credentials, name: str, options: MkdirOptions) -> Inode:
        """Errors: EROFS, ENOSPC."""
        return self._make(name, lambda upper: dcache.mkdir(creds, upper, name, options))

    def symlink(self, creds: Credentials, name: str, target: str) -> Inode:
        """Errors: EROFS, ENOSPC."""
        return self._make(name, lambda upper: dcache.symlink(creds, upper, name, target))

    def link(self, name: str, inode: Inode) -> None:
        """Errors: EROFS, ENOSPC, EMLINK."""
        assert isinstance(inode, OverlayInode)
        source = copy_up(inode).dentry.inode
        self._make_in_upper(name, lambda upper: dcache.link(upper, name, source))
        self.known[name] = inode
        inode.refresh()

    def _make(self, name: str, make: Callable[[Dentry], Dentry]) -> OverlayInode:
        made = self._make_in_upper(name, make)
        inode = self.known[name] = self.fs.inode_of(made, (), self, name)
        return inode

    def _make_in_upper(self, name: str, make: Callable[[Dentry], Dentry]) -> VirtualDentry:
        """Make a name in the upper layer, in place of its whiteout if there is one."""
        upper = copy_up(self)
        whiteout = layers.find(upper, name)
        if whiteout is not None:
            dcache.unlink(whiteout.dentry)
        try:
            made = make(upper.dentry)
        except OSError:
            if whiteout is not None:
                layers.put_whiteout(upper, name)
            raise
        if whiteout is not None and stat.S_ISDIR(made.inode.mode):
            layers.set_opaque(made)
        return upper._replace(dentry=made)

    # removing

    def unlink(self, name: str, inode: Inode) -> None:
        """Errors: EROFS, ENOSPC for the whiteout."""
        assert isinstance(inode, OverlayInode)
        self._remove(name, inode)

    def rmdir(self, name: str, inode: Inode) -> None:
        """Errors: ENOTEMPTY; EROFS, ENOSPC for the whiteout."""
        assert isinstance(inode, OverlayDirectory)
        inode.check_empty(name)
        self._remove(name, inode)

    def _remove(self, name: str, inode: OverlayInode) -> None:
        shows = inode.upper is None or layers.lower_shows(self.lowers, name)
        upper = copy_up(self)
        part = layers.find(upper, name)
        if part is not None:
            _remove_from_upper(part)
        if shows:
            layers.put_whiteout(upper, name)
        self.forget(name, inode)

    def forget(self, name: str, inode: OverlayInode) -> None:
        """A name of a file is gone; without any it can no more be copied up."""
        del self.known[name]
        if inode.upper is None or isinstance(inode, OverlayDirectory):
            inode.parent, inode.nlink = None, 0
        else:
            inode.refresh()

    def check_empty(self, name: str) -> None:
        """Errors: ENOTEMPTY."""
        if next(self.iterate(), None) is not None:
            raise error(errno.ENOTEMPTY, name)

    # moving

    def rename(self, name: str, new_directory: Inode, new_name: str, options: RenameOptions) -> None:
        """Errors: EXDEV for a directory that has a part in a lower layer; ENOTEMPTY; EINVAL for flags; EROFS, ENOSPC."""
        assert isinstance(new_directory, OverlayDirectory)
        if options.flags & ~RENAME_NOREPLACE:
            raise error(errno.EINVAL, name)
        moved, replaced = self.known[name], new_directory.find(new_name)
        is_directory = isinstance(moved, OverlayDirectory)
        if is_directory and (moved.upper is None or moved.lowers):
            raise error(errno.EXDEV, name)
        if isinstance(replaced, OverlayDirectory):
            replaced.check_empty(new_name)
        shows = moved.upper is None or layers.lower_shows(self.lowers, name)
        copy_up(moved)
        self._move_upper(name, copy_up(new_directory), new_name, opaque=is_directory and bool(new_directory.lowers))
        if shows:
            assert self.upper is not None
            layers.put_whiteout(self.upper, name)
        if replaced is not None:
            new_directory.forget(new_name, replaced)
        del self.known[name]
        new_directory.known[new_name] = moved
        moved.parent, moved.name = new_directory, new_name

    def _move_upper(self, name: str, target: VirtualDentry, new_name: str, *, opaque: bool) -> None:
        assert self.upper is not None
        source = dcache.lookup(self.upper.dentry, name)
        over = layers.find(target, new_name)
        if over is not None and stat.S_ISDIR(source.inode.mode):
            # A directory moves over an empty one, not over a whiteout nor over one that whiteouts fill.
            if layers.is_whiteout(over.dentry.inode):
                dcache.unlink(over.dentry)
                over = None
            else:
                _clear(over)
        if opaque and not layers.is_opaque(source):
            layers.set_opaque(source)
        dcache.rename(source, target.dentry, new_name, None if over is None else over.dentry)


def _clear(directory: VirtualDentry) -> None:
    """Take the whiteouts out of a directory of the upper layer that shows nothing else."""
    for entry in list(directory.dentry.inode.iterate()):
        dcache.unlink(dcache.lookup(directory.dentry, entry.name))


def _remove_from_upper(part: VirtualDentry) -> None:
    if stat.S_ISDIR(part.dentry.inode.mode):
        _clear(part)
        dcache.rmdir(part.dentry)
    else:
        dcache.unlink(part.dentry)
