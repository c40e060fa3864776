"""pivot_root(2): another mount becomes the root of a namespace, or of what a caller sees of one.

All functions are called with the lock of the VFS held.
"""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING, NamedTuple

from vfs.credentials import check_may_mount
from vfs.errors import error
from vfs.mount import VirtualDentry
from vfs.mount_tree import attach, detach, is_reachable
from vfs.resolve import PathOperation, cross_mounts, resolve

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.mount import Mount
    from vfs.namespace import MountNamespace
    from vfs.virtual_filesystem import VirtualFilesystem


class Pivot(NamedTuple):
    """What pivot_root did: who was at the root `old` belongs at `new` now."""

    old: VirtualDentry
    new: VirtualDentry

    def moved(self, place: VirtualDentry) -> VirtualDentry:
        """Where the root or working directory of a process of this namespace is now.

        Linux looks at every process of the machine: a root or a working directory that is exactly the old root becomes the
        new one, any other stays where it is (chroot_fs_refs). A VFS knows no processes, so that whoever keeps such places
        asks for each of them.
        """
        return self.new if place == self.old else place


def pivot_root(vfs: VirtualFilesystem, creds: Credentials, new_root: PathOperation, put_old: PathOperation) -> Pivot:
    """See `VirtualFilesystem.pivot_root_at`. The order of the checks is that of path_pivot_root()."""
    check_may_mount(creds, new_root.path)
    new = _directory(vfs, creds, new_root)
    old = cross_mounts(*_directory(vfs, creds, put_old))
    root = new_root.root
    namespace = root.mount.namespace
    if old.dentry.dead or old.mount.dead:
        raise error(errno.ENOENT, put_old.path)
    if any(mount is not None and mount.peers is not None for mount in (old.mount, new.mount.parent, root.mount.parent)):
        raise error(errno.EINVAL, new_root.path)
    if namespace is None or new.mount.namespace is not namespace or new.mount.locked:
        raise error(errno.EINVAL, new_root.path)
    if new.dentry.dead:
        raise error(errno.ENOENT, new_root.path)
    if root.mount in {new.mount, old.mount}:
        raise error(errno.EBUSY, new_root.path)
    if root.dentry is not root.mount.root or new.dentry is not new.mount.root or new.mount.place is None:
        raise error(errno.EINVAL, new_root.path)
    if not is_reachable(new, old) or not is_reachable(root, new):
        raise error(errno.EINVAL, put_old.path)
    _swap(vfs, namespace, root.mount, new.mount, old)
    return Pivot(root, new)


def _directory(vfs: VirtualFilesystem, creds: Credentials, op: PathOperation) -> VirtualDentry:
    place = resolve(vfs.path_cache, creds, op)
    if not stat.S_ISDIR(place.dentry.inode.mode):
        raise error(errno.ENOTDIR, op.path)
    return place


def _swap(vfs: VirtualFilesystem, namespace: MountNamespace, root: Mount, new: Mount, old: VirtualDentry) -> None:
    # What is locked over the place beneath the root stays so.
    if root.locked:
        new.locked, root.locked = True, False
    with vfs.mount_changes:
        detach(vfs, new)
        above = root.place
        if above is None:
            namespace.root_mount = new
        else:
            detach(vfs, root)
            attach(vfs, new, above)
        attach(vfs, root, old)
