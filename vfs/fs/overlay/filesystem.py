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
from vfs.fs.overlay.options import LOWER_LIMIT, OverlayOptions

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.inode import Inode
    from vfs.mount import VirtualDentry
    from vfs.options import MountOptions
    from vfs.virtual_filesystem import VirtualFilesystem

_MAGIC: Final = 0x794C_7630


class OverlayType(FilesystemType):
    """Registers as "overlay"; its layers are given by `OverlayOptions` or by paths."""

    name = "overlay"

    def get_filesystem(
        self, vfs: VirtualFilesystem, creds: Credentials, source: str, options: MountOptions
    ) -> OverlayFilesystem:
        """Errors: EINVAL for unknown options, too few or too many layers, a read-only upper one; ENOTDIR for a layer that
        is no directory; ENOENT.
        """
        internal = OverlayOptions() if options.internal is None else options.internal
        if not isinstance(internal, OverlayOptions):
            raise error(errno.EINVAL)
        layers = overlay_options.parse(vfs, creds, options.data, internal.root) if options.data else internal
        try:
            _check(layers)
            return OverlayFilesystem(vfs, layers, options.data)
        except OSError:
            if options.data:
                _let_go(vfs, layers)
            raise


def _check(layers: OverlayOptions) -> None:
    lowest = 1 if layers.upper is not None else 2
    if not lowest <= len(layers.lowers) <= LOWER_LIMIT:
        raise error(errno.EINVAL)
    for layer in (layers.upper, *layers.lowers):
        if layer is not None and not stat.S_ISDIR(layer.dentry.inode.mode):
            raise error(errno.ENOTDIR)
    if layers.upper is not None and layers.upper.mount.read_only:
        raise error(errno.EINVAL)


def _let_go(vfs: VirtualFilesystem, layers: OverlayOptions) -> None:
    for layer in (layers.upper, *layers.lowers):
        if layer is not None and layer.mount.parent is None and layer.mount.namespace is None:
            vfs.discard_mount(layer.mount)


class OverlayFilesystem(Filesystem):
    """An overlay. `inos` gives each file of a layer, by device and inode number, its number here."""

    def __init__(self, vfs: VirtualFilesystem, layers: OverlayOptions, data: str) -> None:
        super().__init__(vfs, OverlayType.name)
        self.layers = layers
        self._data = data
        self._next_ino = itertools.count(1)
        self.inos: dict[tuple[int, int], int] = {}
        self._linked: WeakValueDictionary[int, OverlayInode] = WeakValueDictionary()
        self.root = Dentry("", None, OverlayDirectory(self, layers.upper, layers.lowers, None, ""))

    def ino_of(self, minor: int, ino: int) -> int:
        """The number here of a file of a layer."""
        known = self.inos.get((minor, ino))
        return known if known is not None else self.inos.setdefault((minor, ino), self.new_ino())

    def new_ino(self) -> int:
        """A number never used before."""
        return next(self._next_ino)

    def inode_of(
        self, upper: VirtualDentry | None, lowers: tuple[VirtualDentry, ...], parent: OverlayDirectory, name: str
    ) -> OverlayInode:
        """The inode for what the layers have under a name. Several names of one upper file are one inode."""
        real: Inode = (upper or lowers[0]).dentry.inode
        if stat.S_ISDIR(real.mode):
            return OverlayDirectory(self, upper, lowers, parent, name)
        if upper is None or real.nlink == 1:
            return OverlayInode(self, upper, lowers, parent, name)
        known = self._linked.get(real.ino)
        if known is None:
            known = self._linked[real.ino] = OverlayInode(self, upper, lowers, parent, name)
        return known

    def statfs(self) -> StatFilesystem:
        """The room in the upper layer, or in the topmost lower one, where nothing can be written anyway."""
        layer = self.layers.upper or self.layers.lowers[0]
        return layer.mount.fs.statfs()._replace(type=_MAGIC)

    def mount_options(self) -> str:
        """The text that named the layers, if one did."""
        return self._data

    def sync(self) -> None:
        """Write out the upper layer."""
        if self.layers.upper is not None:
            self.layers.upper.mount.fs.sync()

    def release(self) -> None:
        """Let go of the layers that are attached nowhere."""
        _let_go(self.vfs, self.layers)
