"""Taking mounts away: umount2(2), what goes along, and what becomes of mounts whose mount point is gone.

A mount that was unmounted is `dead`; its file system is released when its last mount is dead and the files open on it are
closed. All functions are called with the lock of the VFS held.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from vfs import propagation
from vfs.abi import MNT_DETACH, MNT_EXPIRE, MNT_FORCE, UMOUNT_NOFOLLOW
from vfs.credentials import check_may_mount
from vfs.errors import error
from vfs.mount_tree import attach, detach
from vfs.options import Propagation
from vfs.resolve import PathOperation, cross_mounts, resolve

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.dentry import Dentry
    from vfs.mount import Mount, VirtualDentry
    from vfs.options import UmountOptions
    from vfs.virtual_filesystem import VirtualFilesystem

_KNOWN_FLAGS = MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW


def umount(vfs: VirtualFilesystem, creds: Credentials, op: PathOperation, options: UmountOptions) -> None:
    """See `VirtualFilesystem.umount_at` (can_umount and do_umount)."""
    flags = options.flags
    if flags & ~_KNOWN_FLAGS:
        raise error(errno.EINVAL, op.path)
    if flags & UMOUNT_NOFOLLOW:
        op = replace(op, follow_final_symlink=False)
    mount = _to_umount(vfs, creds, op)
    if flags & MNT_EXPIRE:
        if flags & (MNT_FORCE | MNT_DETACH) or mount is op.root.mount:
            raise error(errno.EINVAL, op.path)
        _expire(vfs, mount, op)
    place = mount.place
    if place is None:
        raise error(errno.EINVAL, op.path)
    if flags & MNT_DETACH:
        tree = mount.tree()
        _remove(vfs, [*tree, *propagation.counterparts(tree)], stay_below=[each for each in tree if each.locked])
        return
    if mount in {op.root.mount, op.start.mount} or _is_busy(mount, place):
        raise error(errno.EBUSY, op.path)
    _remove(vfs, [mount, *propagation.counterparts([mount])])


def _to_umount(vfs: VirtualFilesystem, creds: Credentials, op: PathOperation) -> Mount:
    # Looking for what is to be unmounted is no use of it.
    expiring = set(vfs.expiring)
    # Even a path that ends where it starts means what is on top there (LOOKUP_MOUNTPOINT).
    mount, dentry = cross_mounts(*resolve(vfs.path_cache, creds, op))
    vfs.expiring |= expiring
    check_may_mount(creds, op.path)
    other_namespace = mount.namespace is not op.root.mount.namespace
    if dentry is not mount.root or other_namespace or mount.locked:
        raise error(errno.EINVAL, op.path)
    return mount


def _expire(vfs: VirtualFilesystem, mount: Mount, op: PathOperation) -> None:
    """Let the second try succeed if nobody has come by since the first.

    Errors: EBUSY; EAGAIN.
    """
    if mount.children or mount.open_files or mount is op.start.mount:
        raise error(errno.EBUSY, op.path)
    if mount not in vfs.expiring:
        vfs.expiring.add(mount)
        # Who comes by must walk, not remember.
        vfs.path_cache.drop()
        raise error(errno.EAGAIN, op.path)


def _is_busy(mount: Mount, point: VirtualDentry) -> bool:
    """Whether something here is in use, or in a mount that would go with this one (propagate_mount_busy)."""
    if mount.children or mount.open_files:
        return True
    for receiver in propagation.receivers(point.mount):
        child = receiver.children.get(point.dentry)
        # One that has mounts of its own stays, unless they only cover it.
        if child is not None and child.open_files and child.children.keys() <= {child.root}:
            return True
    return False


def umount_tree(vfs: VirtualFilesystem, mount: Mount) -> None:
    """Take a mount and all below it away, here alone, and let their file systems go."""
    _remove(vfs, mount.tree())


def _remove(vfs: VirtualFilesystem, mounts: Iterable[Mount], stay_below: Collection[Mount] = ()) -> None:
    """Take mounts away, the newest first. What covers one of them takes its place.

    Of `stay_below`, what is mounted in another one that goes stays there, for whoever is in it still (disconnect_mount).
    """
    gone = set(mounts)
    with vfs.mount_changes:
        covers = _covers(gone)
        for each in sorted(gone, key=lambda mount: mount.id, reverse=True):
            if each.parent not in gone or each not in stay_below:
                detach(vfs, each)
            if each.namespace is not None:
                each.namespace.mount_count -= 1
                each.namespace = None
            each.dead = True
            vfs.expiring.discard(each)
            propagation.set_propagation(each, Propagation.PRIVATE)
            put(each)
        for mount, place in covers:
            detach(vfs, mount)
            attach(vfs, mount, cross_mounts(*place))


def _covers(gone: set[Mount]) -> list[tuple[Mount, VirtualDentry]]:
    """What stays although it is mounted on something that goes, and its new place."""
    covers = []
    for mount in gone:
        above = mount.children.get(mount.root)
        if above is not None and above not in gone:
            place = mount.place
            while place is not None and place.mount in gone:
                place = place.mount.place
            if place is not None:
                covers.append((above, place))
    return covers


def put(mount: Mount) -> None:
    """Let a mount go if it is dead, nobody uses it, and it hangs below no other."""
    if mount.dead and not mount.open_files and mount.place is None:
        let_go(mount)


def let_go(mount: Mount) -> None:
    """Drop a dead mount's hold on its file system; the last hold releases it. What still hangs below goes its own way."""
    fs = mount.fs
    for child in list(mount.children.values()):
        detach(fs.vfs, child)
        put(child)
    fs.mounts -= 1
    if not fs.mounts:
        fs.watches.unmounted(fs)
        fs.vfs.anonymous_devices.release(fs.minor)
        fs.release()


def check_no_mountpoint(mount: Mount, dentry: Dentry, path: str) -> None:
    """Whether a name may go: nothing is mounted on it in the namespace of the caller.

    Errors: EBUSY.
    """
    for other in dentry.inode.fs.vfs.mountpoints.get(dentry, ()):
        if other.namespace is mount.namespace:
            raise error(errno.EBUSY, path)


def forget_mounts_on(dentry: Dentry) -> None:
    """Unmount what other namespaces have on a name that is gone (mount_namespaces(7)). Nobody hears of it, and for who is in
    there still, what was mounted below stays.
    """
    vfs = dentry.inode.fs.vfs
    for mount in list(vfs.mountpoints.get(dentry, ())):
        if mount.dead:
            # Left hanging below one that went before.
            detach(vfs, mount)
            put(mount)
        else:
            tree = mount.tree()
            _remove(vfs, tree, stay_below=tree)
