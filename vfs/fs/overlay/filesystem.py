"""An overlay and its layers."""

from __future__ import annotations

import errno
import itertools
import stat
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from vfs.dentry import Dentry
from vfs.errors import error
from vfs.filesystem import Filesystem, FilesystemType, StatFilesystem
from vfs.fs.overlay import options as overlay_options
from vfs.fs.overlay.directory import OverlayDirectory
from vfs.fs.overlay.inode import OverlayInode
from vfs.fs.overlay.layers import Marks, Part
from vfs.fs.overlay.options import LOWER_LIMIT, OverlayOptions, RedirectDir

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.fs.overlay.lookup import Found
    from vfs.inode import Inode
    from vfs.mount import VirtualDentry
    from vfs.options import MountOptions
    from vfs.virtual_filesystem import VirtualFilesystem

_MAGIC: Final = 0x794C_7630
_DEEPEST: Final = 2
"""Overlays may lie on each other so deep (FILESYSTEM_MAX_STACK_DEPTH)."""


class OverlayType(FilesystemType):
    """Registers as "overlay"; its layers are given by `OverlayOptions` or by paths."""

    name = "overlay"

    def get_filesystem(
        self, vfs: VirtualFilesystem, creds: Credentials, source: str, options: MountOptions
    ) -> OverlayFilesystem:
        """Errors: EINVAL for unknown options, too few or too many layers, a read-only upper one, a layer that is no directory,
        a work directory that is not beside the upper one, and overlays in more than two levels; ELOOP for a lower layer that
        is, or lies in, another layer; ENOENT.
        """
        internal = OverlayOptions() if options.internal is None else options.internal
        if not isinstance(internal, OverlayOptions):
            raise error(errno.EINVAL)
        layers = overlay_options.parse(vfs, creds, options.data, internal) if options.data else internal
        try:
            _check(layers)
            return OverlayFilesystem(vfs, layers)
        except OSError:
            if options.data:
                _let_go(vfs, layers)
            raise


def _all(layers: OverlayOptions) -> list[VirtualDentry]:
    return [each for each in (layers.upper, layers.work, *layers.lowers) if each is not None]


def _check(layers: OverlayOptions) -> None:
    upper, work = layers.upper, layers.work
    lowest = 1 if upper is not None else 2
    if not lowest <= len(layers.lowers) <= LOWER_LIMIT:
        raise error(errno.EINVAL)
    if not all(stat.S_ISDIR(each.dentry.inode.mode) for each in _all(layers)):
        raise error(errno.EINVAL)
    if upper is not None and upper.mount.read_only:
        raise error(errno.EINVAL)
    if upper is not None and work is not None:
        # Changes are prepared in one and moved to the other.
        related = work.dentry.is_ancestor_of(upper.dentry) or upper.dentry.is_ancestor_of(work.dentry)
        if work.mount.fs is not upper.mount.fs or related or work.dentry is upper.dentry:
            raise error(errno.EINVAL)
    _check_overlap(layers)


def _check_overlap(layers: OverlayOptions) -> None:
    """Errors: ELOOP (ovl_check_overlapping_layers of Linux)."""
    roots = [each.dentry for each in _all(layers)]
    known = set(roots)
    if len(known) < len(roots):
        raise error(errno.ELOOP)
    for lower in layers.lowers:
        dentry = lower.dentry
        while dentry.parent is not dentry:
            dentry = dentry.parent
            if dentry in known:
                raise error(errno.ELOOP)


def _let_go(vfs: VirtualFilesystem, layers: OverlayOptions) -> None:
    for layer in _all(layers):
        if layer.mount.parent is None and layer.mount.namespace is None:
            vfs.discard_mount(layer.mount)


def _depth(fs: Filesystem) -> int:
    return fs.depth if isinstance(fs, OverlayFilesystem) else 0


class OverlayFilesystem(Filesystem):
    """An overlay. `inos` gives each file of a layer, by device and inode number, its number here. `lowers` are the roots of
    the lower layers, `traps` those of all: where one is found inside another, the layers overlap.
    """

    def __init__(self, vfs: VirtualFilesystem, layers: OverlayOptions) -> None:
        """Errors: EINVAL for too many overlays on each other."""
        self.depth = 1 + max(_depth(each.mount.fs) for each in _all(layers))
        if self.depth > _DEEPEST:
            raise error(errno.EINVAL)
        super().__init__(vfs, OverlayType.name)
        self.layers = layers
        self.read_only = layers.upper is None
        self.marks = Marks(user=layers.user_xattr)
        # What anybody may write to a file must not lead anywhere.
        self.redirect_dir = RedirectDir.NOFOLLOW if layers.user_xattr else layers.redirect_dir
        self.renames_directories = self.redirect_dir is RedirectDir.ON
        self.follows_redirects = self.redirect_dir is not RedirectDir.NOFOLLOW
        self._next_ino = itertools.count(1)
        self.inos: dict[tuple[int, int], int] = {}
        self._linked: WeakValueDictionary[int, OverlayInode] = WeakValueDictionary()
        self._by_lower: WeakValueDictionary[Inode, OverlayDirectory] = WeakValueDictionary()
        self.lowers = tuple(Part(*each, number) for number, each in enumerate(layers.lowers, 1))
        self.traps = frozenset(each.dentry.inode for each in _all(layers))
        upper = None if layers.upper is None else Part(*layers.upper, 0)
        self.root = Dentry("", None, OverlayDirectory(self, upper, self.lowers, None, ""))

    def ino_of(self, minor: int, ino: int) -> int:
        """The number here of a file of a layer."""
        known = self.inos.get((minor, ino))
        return known if known is not None else self.inos.setdefault((minor, ino), self.new_ino())

    def new_ino(self) -> int:
        """A number never used before."""
        return next(self._next_ino)

    def inode_of(self, found: Found, parent: OverlayDirectory, name: str) -> OverlayInode:
        """The inode for what the layers have under a name. Several names of one upper file are one inode.

        Errors: ESTALE for a directory of a lower layer that is there by another name, by way of a redirect.
        """
        upper, lowers, _ = found
        real: Inode = (upper or lowers[0]).dentry.inode
        if stat.S_ISDIR(real.mode):
            return self._directory(found, parent, name)
        if upper is None or real.nlink == 1:
            return OverlayInode(self, upper, lowers, parent, name)
        known = self._linked.get(real.ino)
        if known is None:
            known = self._linked[real.ino] = OverlayInode(self, upper, lowers, parent, name)
        return known

    def _directory(self, found: Found, parent: OverlayDirectory, name: str) -> OverlayDirectory:
        lower = found.lowers[0].dentry.inode if found.lowers else None
        known = None if lower is None else self._by_lower.get(lower)
        if known is not None:
            upper = None if found.upper is None else found.upper.dentry.inode
            if upper is not (None if known.upper is None else known.upper.dentry.inode):
                raise error(errno.ESTALE, name)
        directory = OverlayDirectory(self, found.upper, found.lowers, parent, name)
        directory.redirect = found.redirect
        if lower is not None:
            self._by_lower[lower] = directory
        return directory

    def statfs(self) -> StatFilesystem:
        """The room in the upper layer, or in the topmost lower one, where nothing can be written anyway."""
        layer = self.layers.upper or self.layers.lowers[0]
        return layer.mount.fs.statfs()._replace(type=_MAGIC)

    def mount_options(self) -> str:
        """The layers, if a text named them, and what is not as usual (ovl_show_options of Linux)."""
        layers = self.layers
        shown = [layers.shown] if layers.shown else []
        if self.redirect_dir is not RedirectDir.FOLLOW:
            shown.append(f"redirect_dir={self.redirect_dir.value}")
        if layers.volatile and layers.upper is not None:
            shown.append("fsync=volatile")
        if layers.user_xattr:
            shown.append("userxattr")
        return ",".join(shown)

    def sync(self) -> None:
        """Write out the upper layer."""
        if self.layers.upper is not None and not self.layers.volatile:
            self.layers.upper.mount.fs.sync()

    def release(self) -> None:
        """Let go of the layers that are attached nowhere."""
        _let_go(self.vfs, self.layers)
