"""Making, attaching, cloning and removing mounts.

A mount is made detached, then attached: mount(2) is both, as fsmount(2) and move_mount(2) are on Linux. A mount that was
unmounted is `dead`; its file system is released when its last mount is dead and the files open on it are closed. Who else
hears of a mount or an umount is for `vfs.propagation` to say.

All functions are called with the lock of the VFS held.
"""

from __future__ import annotations

import errno
import stat
from functools import partial
from typing import TYPE_CHECKING, Final

from vfs import propagation
from vfs.abi import MNT_DETACH, MNT_FORCE, UMOUNT_NOFOLLOW
from vfs.credentials import Capability
from vfs.dentry import ODD_MOUNTED
from vfs.errors import error
from vfs.mount import Mount, VirtualDentry
from vfs.namespace import MountNamespace
from vfs.options import ATIME_FLAGS, MountFlags, Propagation
from vfs.resolve import PathOperation, cross_mounts, resolve

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.dentry import Dentry
    from vfs.filesystem import Filesystem
    from vfs.options import BindOptions, MountOptions, UmountOptions
    from vfs.propagation import Relate
    from vfs.virtual_filesystem import VirtualFilesystem


# The order of show_sb_opts() in fs/proc_namespace.c.
_SUPERBLOCK: Final = ("sync", "dirsync", "mand", "lazytime")


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
    if not fs.mounts:
        fs.flags = tuple(flag for flag in _SUPERBLOCK if flag in options.superblock)
    return new_mount(vfs, fs, fs.root, options.flags, source)


def connect(vfs: VirtualFilesystem, creds: Credentials, mount: Mount, op: PathOperation) -> None:
    """See `VirtualFilesystem.connect_mount_at`."""
    target = _find_target(vfs, creds, op)
    if mount.parent is not None or mount.namespace is not None or mount.dead:
        raise error(errno.EINVAL, op.path)
    if stat.S_ISDIR(mount.root.inode.mode) != stat.S_ISDIR(target.dentry.inode.mode):
        raise error(errno.ENOTDIR, op.path)
    if target.mount in mount.tree():
        raise error(errno.ELOOP, op.path)
    _graft(vfs, mount, target)


def bind(
    vfs: VirtualFilesystem, creds: Credentials, source: PathOperation, op: PathOperation, options: BindOptions
) -> Mount:
    """See `VirtualFilesystem.bind_at`."""
    _find_target(vfs, creds, op)
    mount = clone(vfs, resolve(vfs.path_cache, creds, source), options)
    try:
        connect(vfs, creds, mount, op)
    except OSError:
        umount_tree(vfs, mount)
        raise
    return mount


def move(vfs: VirtualFilesystem, creds: Credentials, source: PathOperation, op: PathOperation) -> None:
    """See `VirtualFilesystem.move_mount_at` (do_move_mount)."""
    target = _find_target(vfs, creds, op)
    mount, dentry = resolve(vfs.path_cache, creds, source)
    parent = mount.parent
    same_kind = stat.S_ISDIR(dentry.inode.mode) == stat.S_ISDIR(target.dentry.inode.mode)
    if dentry is not mount.root or parent is None or parent.peers is not None or not same_kind:
        raise error(errno.EINVAL, source.path)
    if mount.namespace is not op.root.mount.namespace or mount.namespace is not target.mount.namespace:
        raise error(errno.EINVAL, source.path)
    tree = mount.tree()
    if target.mount.peers is not None and any(each.unbindable for each in tree):
        raise error(errno.EINVAL, source.path)
    if target.mount in tree:
        raise error(errno.ELOOP, op.path)
    _graft(vfs, mount, target)


def _find_target(vfs: VirtualFilesystem, creds: Credentials, op: PathOperation) -> VirtualDentry:
    target = cross_mounts(*resolve(vfs.path_cache, creds, op))
    if target.dentry.dead or target.mount.dead:
        raise error(errno.ENOENT, op.path)
    return target


def _graft(vfs: VirtualFilesystem, mount: Mount, target: VirtualDentry) -> None:
    """Attach a tree, new or moved, and its copies wherever that is heard of, all or none (attach_recursive_mnt).

    A copy goes beneath what is mounted at its place already.

    Errors: ENOSPC.
    """
    tree = mount.tree()
    newly_shared = [each for each in tree if each.peers is None] if target.mount.peers is not None else []
    copies: list[tuple[Mount, Mount]] = []
    try:
        if target.mount.peers is not None:
            for each in newly_shared:
                propagation.share(each)
            copies.extend(propagation.copies_for(mount, target, newly_shared, partial(_copy_tree, vfs)))
        _reserve(mount, target, copies)
    except OSError:
        for _, copy in copies:
            umount_tree(vfs, copy)
        for each in newly_shared:
            propagation.unshare(each)
        raise
    if mount.parent is not None:
        _detach(vfs, mount)
    _attach_tree(vfs, mount, target)
    for receiver, copy in copies:
        below = receiver.children.get(target.dentry)
        if below is not None:
            _detach(vfs, below)
        _attach_tree(vfs, copy, VirtualDentry(receiver, target.dentry))
        if below is not None:
            attach(vfs, below, cross_mounts(copy, copy.root))


def _reserve(mount: Mount, target: VirtualDentry, copies: list[tuple[Mount, Mount]]) -> None:
    wanted: dict[MountNamespace, int] = {}
    for place, tree in ((target.mount, mount), *copies):
        if place.namespace is not None and tree.namespace is None:
            wanted[place.namespace] = wanted.get(place.namespace, 0) + len(tree.tree())
    for namespace, count in wanted.items():
        namespace.reserve(count)


def _attach_tree(vfs: VirtualFilesystem, mount: Mount, target: VirtualDentry) -> None:
    namespace = target.mount.namespace
    if namespace is not None and mount.namespace is None:
        tree = mount.tree()
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
    place = _place(mount)
    if dentry is not mount.root or place is None or other_namespace:
        raise error(errno.EINVAL, op.path)
    if not flags & MNT_DETACH and _is_busy(mount, place):
        raise error(errno.EBUSY, op.path)
    tree = mount.tree()
    _remove(vfs, [*tree, *propagation.counterparts(tree)])


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


def _remove(vfs: VirtualFilesystem, mounts: list[Mount]) -> None:
    """Take mounts away, the newest first. What covers one of them takes its place."""
    covers = _covers(set(mounts))
    for each in sorted(mounts, key=lambda mount: mount.id, reverse=True):
        _detach(vfs, each)
        if each.namespace is not None:
            each.namespace.mount_count -= 1
            each.namespace = None
        each.dead = True
        propagation.set_propagation(each, Propagation.PRIVATE)
        if not each.open_files:
            let_go(each)
    for cover, place in covers:
        _detach(vfs, cover)
        attach(vfs, cover, place)


def _place(mount: Mount) -> VirtualDentry | None:
    """Where a mount is attached."""
    if mount.parent is None or mount.mountpoint is None:
        return None
    return VirtualDentry(mount.parent, mount.mountpoint)


def _covers(gone: set[Mount]) -> list[tuple[Mount, VirtualDentry]]:
    """What stays although it is mounted on something that goes, and its new place."""
    covers = []
    for mount in gone:
        above = mount.children.get(mount.root)
        if above is not None and above not in gone:
            place = _place(mount)
            while place is not None and place.mount in gone:
                place = _place(place.mount)
            if place is not None:
                covers.append((above, place))
    return covers


def let_go(mount: Mount) -> None:
    """Drop a dead mount's hold on its file system; the last hold releases it."""
    fs = mount.fs
    fs.mounts -= 1
    if not fs.mounts:
        fs.vfs.anonymous_devices.release(fs.minor)
        fs.release()


def clone(vfs: VirtualFilesystem, location: VirtualDentry, options: BindOptions) -> Mount:
    """A detached mount of what is seen at a place, with the mounts below it if recursive: a peer of its original.

    Errors: ENOENT for a place that is gone; EINVAL for an unbindable mount.
    """
    mount, dentry = location
    if dentry.dead or mount.dead:
        raise error(errno.ENOENT)
    if mount.unbindable:
        raise error(errno.EINVAL)
    if options.recursive:
        copy = _copy_tree(vfs, mount, propagation.become_peer, dentry)
    else:
        copy = _copy(vfs, mount, propagation.become_peer, dentry)
    if options.flags is not None:
        for each in copy.tree():
            each.flags = options.flags
    return copy


def copy_namespace(vfs: VirtualFilesystem, creds: Credentials, namespace: MountNamespace) -> MountNamespace:
    """See `VirtualFilesystem.copy_mount_namespace`."""
    copy = MountNamespace(_copy_tree(vfs, namespace.root_mount, propagation.become_peer, unbindable=True), creds)
    tree = copy.root_mount.tree()
    copy.mount_count = len(tree)
    for each in tree:
        each.namespace = copy
    return copy


def _copy_tree(
    vfs: VirtualFilesystem, mount: Mount, relate: Relate, root: Dentry | None = None, *, unbindable: bool = False
) -> Mount:
    """Copy a mount and what is mounted below its root, or below `root` in it (copy_tree).

    Unbindable mounts are left out with all that is in them, unless `unbindable`.
    """
    copy = _copy(vfs, mount, relate, root or mount.root)
    pending = [(mount, copy)]
    for original, clone_of in pending:
        for point, child in original.children.items():
            shown = point is clone_of.root or clone_of.root.is_ancestor_of(point)
            if shown and (unbindable or not child.unbindable):
                below = _copy(vfs, child, relate, child.root)
                attach(vfs, below, VirtualDentry(clone_of, point))
                pending.append((child, below))
    return copy


def _copy(vfs: VirtualFilesystem, mount: Mount, relate: Relate, root: Dentry) -> Mount:
    copy = new_mount(vfs, mount.fs, root, mount.flags, mount.source)
    relate(mount, copy)
    return copy


def set_propagation(mount: Mount, kind: Propagation, *, recursive: bool) -> None:
    """See `VirtualFilesystem.set_propagation_at`."""
    for each in mount.tree() if recursive else [mount]:
        propagation.set_propagation(each, kind)


def set_flags(vfs: VirtualFilesystem, mount: Mount, add: MountFlags, remove: MountFlags, *, recursive: bool) -> None:
    """See `VirtualFilesystem.set_mount_flags`."""
    mounts = mount.tree() if recursive else [mount]
    if add & MountFlags.RDONLY and any(each.writers and not each.read_only for each in mounts):
        raise error(errno.EBUSY)
    if add & ATIME_FLAGS:
        remove |= ATIME_FLAGS
    for each in mounts:
        each.flags = each.flags & ~remove | add
    vfs.path_cache.drop()


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
