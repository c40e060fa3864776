"""Making, attaching, binding and moving mounts, and changing their flags.

A mount is made detached, then attached: mount(2) is both, as fsmount(2) and move_mount(2) are on Linux. Copies are
made by `vfs.cloning`, `vfs.unmounting` takes mounts away; who else hears of it is for `vfs.propagation` to say.

Not offered: moving a mount beneath another (MOVE_MOUNT_BENEATH), changing a mounted file system's own options (MS_REMOUNT
without MS_BIND), automounts.

All functions are called with the lock of the VFS held.
"""

from __future__ import annotations

import errno
import stat
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from vfs import propagation
from vfs.cloning import clone, copy_tree, lock_tree, new_mount
from vfs.credentials import check_may_mount
from vfs.errors import error
from vfs.mount import Mount, VirtualDentry
from vfs.mount_tree import attach, detach
from vfs.options import ATIME_FLAGS, LOCKABLE_FLAGS, MountFlags, Propagation
from vfs.resolve import PathOperation, cross_mounts, resolve
from vfs.unmounting import umount_tree

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.namespace import MountNamespace
    from vfs.options import BindOptions, MountOptions
    from vfs.virtual_filesystem import VirtualFilesystem


_ACCESS_TIMES: Final = ATIME_FLAGS | MountFlags.NODIRATIME
# The order of show_sb_opts() in fs/proc_namespace.c.
_SUPERBLOCK: Final = ("sync", "dirsync", "mand", "lazytime")


def mount_disconnected(
    vfs: VirtualFilesystem, creds: Credentials, source: str, fstype: str, options: MountOptions
) -> Mount:
    """See `VirtualFilesystem.mount_disconnected`."""
    registered = vfs.filesystem_types.find(fstype)
    if options.user_mount and not registered.allow_user_mount:
        raise error(errno.ENODEV, fstype)
    _, dot, subtype = fstype.partition(".")
    if dot and registered.type.has_subtype:
        if not subtype:
            raise error(errno.EINVAL, fstype)
        options = replace(options, data=f"subtype={subtype},{options.data}")
    fs = registered.type.get_filesystem(vfs, creds, source, options)
    if not fs.mounts:
        fs.flags = tuple(flag for flag in _SUPERBLOCK if flag in options.superblock)
    return new_mount(vfs, fs, fs.root, options.flags, source)


def connect(vfs: VirtualFilesystem, creds: Credentials, mount: Mount, op: PathOperation) -> None:
    """See `VirtualFilesystem.connect_mount_at` (do_move_mount)."""
    check_may_mount(creds, op.path)
    place = resolve(vfs.path_cache, creds, op)
    if mount.place is not None or mount.namespace is not None or mount.dead or not _same_kind(mount, place):
        raise error(errno.EINVAL, op.path)
    target = _find_target(vfs, creds, op)
    if target.mount in mount.tree():
        raise error(errno.EINVAL, op.path)
    if target.mount.peers is not None and any(each.unbindable for each in mount.tree()):
        raise error(errno.EINVAL, op.path)
    _graft(vfs, mount, target)


def add(vfs: VirtualFilesystem, creds: Credentials, mount: Mount, op: PathOperation) -> None:
    """Attach a mount that was just made; if that fails, it is gone (graft_tree).

    Errors: ENOENT; ENOTDIR; EINVAL; ENOSPC.
    """
    try:
        target = _find_target(vfs, creds, op)
        if not _same_kind(mount, target):
            raise error(errno.ENOTDIR, op.path)
        _graft(vfs, mount, target)
    except OSError:
        umount_tree(vfs, mount)
        raise


def _same_kind(mount: Mount, place: VirtualDentry) -> bool:
    return stat.S_ISDIR(mount.root.inode.mode) == stat.S_ISDIR(place.dentry.inode.mode)


def bind(
    vfs: VirtualFilesystem, creds: Credentials, source: PathOperation, op: PathOperation, options: BindOptions
) -> Mount:
    """See `VirtualFilesystem.bind_at`."""
    resolve(vfs.path_cache, creds, op)
    check_may_mount(creds, op.path)
    place = resolve(vfs.path_cache, creds, source)
    _find_target(vfs, creds, op)
    mount = clone(vfs, place, source.root.mount.namespace, options)
    add(vfs, creds, mount, op)
    return mount


def move(vfs: VirtualFilesystem, creds: Credentials, source: PathOperation, op: PathOperation) -> None:
    """See `VirtualFilesystem.move_mount_at` (do_move_mount)."""
    resolve(vfs.path_cache, creds, op)
    check_may_mount(creds, op.path)
    mount, dentry = resolve(vfs.path_cache, creds, source)
    target = _find_target(vfs, creds, op)
    parent = mount.parent
    is_attached = parent is not None or mount.namespace is not None
    same_kind = stat.S_ISDIR(dentry.inode.mode) == stat.S_ISDIR(target.dentry.inode.mode)
    if dentry is not mount.root or not same_kind or not is_attached or mount.locked:
        raise error(errno.EINVAL, source.path)
    if parent is not None and parent.peers is not None:
        raise error(errno.EINVAL, source.path)
    if mount.namespace is not source.root.mount.namespace or mount.namespace is not target.mount.namespace:
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
    if target.mount.namespace not in {op.root.mount.namespace, None}:
        raise error(errno.EINVAL, op.path)
    return target


def _graft(vfs: VirtualFilesystem, mount: Mount, target: VirtualDentry) -> None:
    """Attach a tree, new or moved, and its copies wherever that is heard of, all or none (attach_recursive_mnt).

    A copy goes beneath what is mounted at its place already.

    Errors: ENOENT for a tree whose root, or what is mounted over it, has no name any more; ENOSPC.
    """
    top = mount
    while (above := top.children.get(top.root)) is not None:
        top = above
    if top.root.dead:
        raise error(errno.ENOENT)
    tree = mount.tree()
    newly_shared = [each for each in tree if each.peers is None] if target.mount.peers is not None else []
    copies: list[tuple[Mount, Mount]] = []
    try:
        if target.mount.peers is not None:
            for each in newly_shared:
                propagation.share(each)
            copies.extend(propagation.copies_for(mount, target, newly_shared, partial(copy_tree, vfs)))
        _reserve(mount, target, copies)
    except OSError:
        for _, copy in copies:
            umount_tree(vfs, copy)
        for each in newly_shared:
            propagation.unshare(each)
        raise
    with vfs.mount_changes:
        detach(vfs, mount)
        _attach_tree(vfs, mount, target)
        for receiver, copy in copies:
            if _owner(receiver) is not _owner(target.mount):
                lock_tree(copy)
            _attach_beneath(vfs, copy, VirtualDentry(receiver, target.dentry))


def _owner(mount: Mount) -> object:
    return None if mount.namespace is None else mount.namespace.user_namespace


def _attach_beneath(vfs: VirtualFilesystem, mount: Mount, target: VirtualDentry) -> None:
    covering = target.mount.children.get(target.dentry)
    if covering is not None:
        detach(vfs, covering)
    _attach_tree(vfs, mount, target)
    if covering is not None:
        attach(vfs, covering, cross_mounts(mount, mount.root))


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


def set_propagation(mount: Mount, kind: Propagation, *, recursive: bool) -> None:
    """See `VirtualFilesystem.set_propagation_at`."""
    for each in mount.tree() if recursive else [mount]:
        propagation.set_propagation(each, kind)


def set_flags(vfs: VirtualFilesystem, mount: Mount, add: MountFlags, remove: MountFlags, *, recursive: bool) -> None:
    """See `VirtualFilesystem.set_mount_flags`."""
    mounts = mount.tree() if recursive else [mount]
    if add & ATIME_FLAGS:
        remove |= ATIME_FLAGS
    for each in mounts:
        if not _may_become(each, each.flags & ~remove | add):
            raise error(errno.EPERM)
        if add & MountFlags.RDONLY and each.writers and not each.read_only:
            raise error(errno.EBUSY)
    for each in mounts:
        each.flags = each.flags & ~remove | add
    vfs.path_cache.drop()


def _may_become(mount: Mount, flags: MountFlags) -> bool:
    """Whether flags leave alone what is locked (can_change_locked_flags)."""
    locked = mount.locked_flags
    if locked & LOCKABLE_FLAGS & ~flags:
        return False
    return not locked & ATIME_FLAGS or _access_times(mount.flags) == _access_times(flags)


def _access_times(flags: MountFlags) -> MountFlags:
    # None of the three means relatime.
    return flags & _ACCESS_TIMES if flags & ATIME_FLAGS else flags & _ACCESS_TIMES | MountFlags.RELATIME
