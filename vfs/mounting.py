"""Making, attaching, cloning and removing mounts.

A mount is made detached, then attached: mount(2) is both, as fsmount(2) and move_mount(2) are on Linux. A mount that was
unmounted is `dead`; its file system is released when its last mount is dead and the files open on it are closed.

All functions are called with the lock of the VFS held.
"""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING

from vfs.abi import MNT_DETACH, MNT_FORCE, UMOUNT_NOFOLLOW
from vfs.credentials import Capability
from vfs.dentry import ODD_MOUNTED
from vfs.errors import error
from vfs.mount import Mount, VirtualDentry
from vfs.resolve import PathOperation, cross_mounts, resolve

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.dentry import Dentry
    from vfs.filesystem import Filesystem
    from vfs.options import BindOptions, MountFlags, MountOptions, UmountOptions
    from vfs.virtual_filesystem import VirtualFilesystem


def new_mount(vfs: VirtualFilesystem, fs: Filesystem, root: Dentry, flags: MountFlags, source: str) -> Mount:
    """A detached mount of a file system, or of a part of it."""
    fs.mounts += 1
    return Mount(vfs.next_mount_id(), fs, root, flags, source)


def mount_disconnected(
    vfs: VirtualFilesystem, creds: Credentials, source: str, fstype: str, options: MountOptions
) -> Mount:
    """See `VirtualFilesystem.mount_disconnected`."""
    registered = vfs.filesystem_types.find(fstype)
    if options.user_mount and not registered.allow_user_mount:
        raise error(errno.ENODEV, fstype)
    fs = registered.type.get_filesystem(vfs, creds, source, options)
    return new_mount(vfs, fs, fs.root, options.flags, source)


def connect(vfs: VirtualFilesystem, creds: Credentials, mount: Mount, op: PathOperation) -> None:
    """See `VirtualFilesystem.connect_mount_at`."""
    target = cross_mounts(*resolve(vfs.path_cache, creds, op))
    if mount.parent is not None or mount.namespace is not None or mount.dead:
        raise error(errno.EINVAL, op.path)
    if target.dentry.dead or target.mount.dead:
        raise error(errno.ENOENT, op.path)
    if stat.S_ISDIR(mount.root.inode.mode) != stat.S_ISDIR(target.dentry.inode.mode):
        raise error(errno.ENOTDIR, op.path)
    tree = mount.tree()
    if target.mount in tree:
        raise error(errno.ELOOP, op.path)
    namespace = target.mount.namespace
    if namespace is not None:
        namespace.reserve(len(tree))
        namespace.mount_count += len(tree)
        for each in tree:
            each.namespace = namespace
    attach(vfs, mount, target)


def attach(vfs: VirtualFilesystem, mount: Mount, target: VirtualDentry) -> None:
    """Hang a mount below another. Precondition: nothing is mounted exactly there."""
    mount.parent, mount.mountpoint = target
    target.mount.children[target.dentry] = mount
    target.dentry.odd |= ODD_MOUNTED
    vfs.mountpoints.setdefault(target.dentry, []).append(mount)
    vfs.path_cache.drop()


def _detach(vfs: VirtualFilesystem, mount: Mount) -> None:
    parent, point = mount.parent, mount.mountpoint
    if parent is None or point is None:
        return
    mount.parent = mount.mountpoint = None
    del parent.children[point]
    mounts_here = vfs.mountpoints[point]
    mounts_here.remove(mount)
    if not mounts_here:
        del vfs.mountpoints[point]
        point.odd &= ~ODD_MOUNTED
    vfs.path_cache.drop()


def umount(vfs: VirtualFilesystem, creds: Credentials, op: PathOperation, options: UmountOptions) -> None:
    """See `VirtualFilesystem.umount_at`."""
    flags = options.flags
    if flags & ~(MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW):
        raise error(errno.EINVAL, op.path)
    if flags & MNT_FORCE and not creds.has(Capability.SYS_ADMIN):
        raise error(errno.EPERM, op.path)
    if flags & UMOUNT_NOFOLLOW:
        op = op._replace(follow_final_symlink=False)
    mount, dentry = resolve(vfs.path_cache, creds, op)
    other_namespace = mount.namespace is not op.root.mount.namespace
    if dentry is not mount.root or mount.parent is None or other_namespace:
        raise error(errno.EINVAL, op.path)
    if not flags & MNT_DETACH and (mount.children or mount.open_files):
        raise error(errno.EBUSY, op.path)
    umount_tree(vfs, mount)


def umount_tree(vfs: VirtualFilesystem, mount: Mount) -> None:
    """Take a mount and all below it away, deepest first, and let their file systems go."""
    tree = mount.tree()
    if mount.namespace is not None:
        mount.namespace.mount_count -= len(tree)
    for each in reversed(tree):
        _detach(vfs, each)
        each.namespace = None
        each.dead = True
        if not each.open_files:
            let_go(each)


def let_go(mount: Mount) -> None:
    """Drop a dead mount's hold on its file system; the last hold releases it."""
    fs = mount.fs
    fs.mounts -= 1
    if not fs.mounts:
        fs.vfs.anonymous_devices.release(fs.minor)
        fs.release()


def clone(vfs: VirtualFilesystem, location: VirtualDentry, options: BindOptions) -> Mount:
    """A detached mount of what is seen at a place, with the mounts below it if recursive.

    Errors: ENOENT for a place that is gone.
    """
    mount, dentry = location
    if dentry.dead or mount.dead:
        raise error(errno.ENOENT)
    copy = _copy(vfs, mount, dentry, options)
    if options.recursive:
        pending = [(mount, copy)]
        for original, clone_of in pending:
            for point, child in original.children.items():
                if point is clone_of.root or clone_of.root.is_ancestor_of(point):
                    below = _copy(vfs, child, child.root, options)
                    attach(vfs, below, VirtualDentry(clone_of, point))
                    pending.append((child, below))
    return copy


def _copy(vfs: VirtualFilesystem, mount: Mount, root: Dentry, options: BindOptions) -> Mount:
    flags = mount.flags if options.flags is None else options.flags
    return new_mount(vfs, mount.fs, root, flags, mount.source)


def check_no_mountpoint(mount: Mount, dentry: Dentry, path: str) -> None:
    """Whether a name may go: nothing is mounted on it in the namespace of the caller.

    Errors: EBUSY.
    """
    for other in dentry.inode.fs.vfs.mountpoints.get(dentry, ()):
        if other.namespace is mount.namespace:
            raise error(errno.EBUSY, path)


def forget_mounts_on(dentry: Dentry) -> None:
    """Unmount what other namespaces have on a name that is gone (mount_namespaces(7))."""
    vfs = dentry.inode.fs.vfs
    for mount in list(vfs.mountpoints.get(dentry, ())):
        umount_tree(vfs, mount)


def path_from(root: VirtualDentry, location: VirtualDentry) -> str | None:
    """The path that leads from a root to a place, or None if none does: it lies elsewhere, or its name is gone."""
    names = []
    mount, dentry = location
    while not (dentry is root.dentry and mount is root.mount):
        if dentry is mount.root:
            if mount.parent is None or mount.mountpoint is None:
                return None
            dentry, mount = mount.mountpoint, mount.parent
            continue
        if dentry.dead or dentry.parent is dentry:
            return None
        names.append(dentry.name)
        dentry = dentry.parent
    return "/" + "/".join(reversed(names))
