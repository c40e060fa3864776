"""A directory seen through an overlay: the directories of the layers merged."""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from vfs import dcache
from vfs.abi import RENAME_EXCHANGE, RENAME_NOREPLACE
from vfs.dentry import DEAD, Dentry
from vfs.errors import error
from vfs.fs.overlay import layers
from vfs.fs.overlay import rename as renaming
from vfs.fs.overlay.copy_up import copy_up
from vfs.fs.overlay.inode import OverlayInode
from vfs.fs.overlay.lookup import Found, look
from vfs.inode import DirectoryEntry, Inode

if TYPE_CHECKING:
    import os

    from vfs.credentials import Credentials
    from vfs.fs.overlay.filesystem import OverlayFilesystem
    from vfs.fs.overlay.layers import Part
    from vfs.options import MkdirOptions, MknodOptions, RenameOptions


class OverlayDirectory(OverlayInode):
    """A directory. `known` are the inodes handed out, so that a name means one of them as long as it is there. `redirect` is
    what the upper part says about where the lower ones are, if it does.
    """

    __slots__ = ("known", "redirect")

    def __init__(
        self,
        fs: OverlayFilesystem,
        upper: Part | None,
        lowers: tuple[Part, ...],
        parent: OverlayDirectory | None,
        name: str,
    ) -> None:
        self.known: dict[str, OverlayInode] = {}
        self.redirect: str | None = None
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
            found = look(self.fs, self.upper, self.lowers, name)
            if found is None:
                return None
            inode = self.known[name] = self.fs.inode_of(found, self, name)
            return inode

    def iterate(self) -> Iterator[DirectoryEntry]:
        """The names of all layers, each once, the upper one's first; whiteouts hide and are hidden."""
        return self._entries(regular_whiteouts=True)

    def is_empty(self) -> bool:
        """Whether nothing is left but whiteouts. Linux does not look whether regular files are any (ovl_check_empty_dir)."""
        return next(self._entries(regular_whiteouts=False), None) is None

    @property
    def is_pure(self) -> bool:
        """Whether it is in the upper layer alone, where it then has no whiteouts and is removed as it is."""
        return self.upper is not None and not self.lowers

    def _entries(self, *, regular_whiteouts: bool) -> Iterator[DirectoryEntry]:
        seen: set[str] = set()
        for layer in (self.upper, *self.lowers):
            if layer is None:
                continue
            directory = layer.dentry.inode
            minor = directory.fs.minor
            marked = regular_whiteouts and self.fs.marks.opaque(directory) == b"x"
            for name, ino, kind in directory.iterate():
                if name in seen:
                    continue
                seen.add(name)
                if (kind == stat.S_IFCHR or (marked and kind == stat.S_IFREG)) and self._is_whiteout(layer, name):
                    continue
                known = self.known.get(name)
                yield DirectoryEntry(name, self.fs.ino_of(minor, ino) if known is None else known.ino, kind)

    def _is_whiteout(self, layer: Part, name: str) -> bool:
        found = layers.find(layer, name)
        return found is not None and self.fs.marks.is_whiteout(found.dentry.inode)

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
        inode = self.known[name] = self.fs.inode_of(Found(made, (), None), self, name)
        return inode

    def _make_in_upper(self, name: str, make: Callable[[Dentry], Dentry]) -> Part:
        """Make a name in the upper layer, in place of its whiteout if there is one."""
        upper = copy_up(self)
        whiteout = layers.find(upper, name)
        if whiteout is not None:
            dcache.unlink(whiteout.dentry)
        try:
            made = make(upper.dentry)
        except OSError:
            if whiteout is not None:
                self.fs.marks.put_whiteout(upper, name)
            raise
        # With redirects, what a lower layer gets by this name later is not meant (ovl_allow_offline_changes of Linux).
        hides = whiteout is not None or (self.fs.renames_directories and self.lowers)
        if hides and stat.S_ISDIR(made.inode.mode):
            self.fs.marks.set_opaque(made.inode)
        return upper.child(made)

    # removing

    def unlink(self, name: str, inode: Inode) -> None:
        """Errors: EROFS, ENOSPC for the whiteout."""
        assert isinstance(inode, OverlayInode)
        self._remove(name, inode)

    def rmdir(self, name: str, inode: Inode) -> None:
        """Errors: ENOTEMPTY; EROFS, ENOSPC for the whiteout."""
        assert isinstance(inode, OverlayDirectory)
        self._remove(name, inode)

    def _remove(self, name: str, inode: OverlayInode) -> None:
        shows = inode.upper is None or self.fs.marks.lower_shows(self.lowers, name)
        has_whiteouts = isinstance(inode, OverlayDirectory) and (shows or not inode.is_pure)
        if has_whiteouts and isinstance(inode, OverlayDirectory) and not inode.is_empty():
            raise error(errno.ENOTEMPTY, name)
        upper = copy_up(self)
        part = layers.find(upper, name)
        if part is not None:
            if has_whiteouts:
                renaming.clear(part)
            (dcache.rmdir if stat.S_ISDIR(inode.mode) else dcache.unlink)(part.dentry)
        if shows:
            self.fs.marks.put_whiteout(upper, name)
        self.forget(name, inode)

    def forget(self, name: str, inode: OverlayInode) -> None:
        """A name of a file is gone; without any it can no more be copied up."""
        del self.known[name]
        if inode.upper is None or isinstance(inode, OverlayDirectory):
            inode.parent, inode.nlink = None, 0
        else:
            inode.refresh()

    # moving

    def rename(self, name: str, new_directory: Inode, new_name: str, options: RenameOptions) -> None:
        """Errors: EXDEV for a directory that has a part in a lower layer, unless redirects are on, or one too long for that;
        ENOTEMPTY; EINVAL for RENAME_WHITEOUT; EROFS, ENOSPC.
        """
        assert isinstance(new_directory, OverlayDirectory)
        if options.flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE):
            raise error(errno.EINVAL, name)
        if options.flags & RENAME_EXCHANGE:
            renaming.exchange(self, name, new_directory, new_name)
        else:
            renaming.rename(self, name, new_directory, new_name)

    def tmpfile(self, creds: Credentials, mode: int, *, linkable: bool) -> Inode:
        """Errors: EROFS, ENOSPC; EOPNOTSUPP from an upper layer that has none."""
        upper = copy_up(self)
        made = upper.dentry.inode.tmpfile(creds, mode, linkable=linkable)
        dentry = Dentry(f"#{made.ino}", upper.dentry, made)
        dentry.odd |= DEAD
        return OverlayInode(self.fs, upper.child(dentry), (), None, "")
