"""The links between mounts: who hangs where, and how readers without the lock see several links change at once.

Analogous to attach_mnt, umount_mnt and mount_lock of fs/namespace.c. All functions that change are called with the lock of
the VFS held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vfs.dentry import ODD_MOUNTED
from vfs.mount import VirtualDentry

if TYPE_CHECKING:
    from types import TracebackType

    from vfs.dentry import Dentry
    from vfs.mount import Mount
    from vfs.virtual_filesystem import VirtualFilesystem


class MountChanges:
    """Guards the mount trees of a VFS against readers that see half of a change (a sequence lock, as mount_lock is on Linux).

    `with changes:` is a change; changes nest. `number` is odd while one is going on: who steps over a mount point then, or
    finds another number after the step than before, takes the step again under the lock (`vfs.resolve`).

    Invariant: ODD_MOUNTED of a dentry goes only when the change ends, so that no fast walk steps on what a mount covers, or
    will cover again; paths remembered are dropped when a change begins and when it ends.
    """

    __slots__ = ("_depth", "_left", "_vfs", "number")

    def __init__(self, vfs: VirtualFilesystem) -> None:
        self._vfs = vfs
        self._depth = 0
        self._left: list[Dentry] = []
        self.number = 0

    def __enter__(self) -> None:
        self._depth += 1
        if self._depth == 1:
            self.number += 1
            self._vfs.path_cache.drop()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth:
            return
        for point in self._left:
            if point not in self._vfs.mountpoints:
                point.odd &= ~ODD_MOUNTED
        self._left = []
        self._vfs.path_cache.drop()
        self.number += 1

    def leave(self, point: Dentry) -> None:
        """Nothing is mounted here any more, as things are now."""
        self._left.append(point)


def attach(vfs: VirtualFilesystem, mount: Mount, target: VirtualDentry) -> None:
    """Hang a mount below another. Precondition: nothing is mounted exactly there."""
    with vfs.mount_changes:
        target.dentry.odd |= ODD_MOUNTED
        mount.place = target
        target.mount.children[target.dentry] = mount
        vfs.mountpoints.setdefault(target.dentry, []).append(mount)


def detach(vfs: VirtualFilesystem, mount: Mount) -> None:
    """Take a mount, with what hangs below it, off its place, if it has one."""
    if mount.place is None:
        return
    parent, point = mount.place
    with vfs.mount_changes:
        mount.place = None
        del parent.children[point]
        mounts_here = vfs.mountpoints[point]
        mounts_here.remove(mount)
        if not mounts_here:
            del vfs.mountpoints[point]
            vfs.mount_changes.leave(point)


def path_from(root: VirtualDentry, location: VirtualDentry) -> str | None:
    """The path that leads from a root to a place, or None if none does: it lies elsewhere, or its name is gone."""
    names = []
    mount, dentry = location
    while not (dentry is root.dentry and mount is root.mount):
        if dentry is mount.root:
            if mount.place is None:
                return None
            mount, dentry = mount.place
            continue
        if dentry.dead or dentry.parent is dentry:
            return None
        names.append(dentry.name)
        dentry = dentry.parent
    return "/" + "/".join(reversed(names))


def is_reachable(root: VirtualDentry, location: VirtualDentry) -> bool:
    """Whether a place is a root or lies below it (is_path_reachable)."""
    mount, dentry = location
    while mount is not root.mount and mount.place is not None:
        mount, dentry = mount.place
    return mount is root.mount and (dentry is root.dentry or root.dentry.is_ancestor_of(dentry))
