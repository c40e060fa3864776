"""Copies of mounts and of trees of mounts: for binds, for what propagates, and for new namespaces (copy_tree, copy_mnt_ns).

All functions are called with the lock of the VFS held.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple

from vfs import propagation
from vfs.credentials import check_may_mount
from vfs.errors import error
from vfs.mount import Mount, VirtualDentry
from vfs.mount_tree import attach
from vfs.namespace import MountNamespace
from vfs.options import ATIME_FLAGS, LOCKABLE_FLAGS, BindOptions, MountFlags
from vfs.unmounting import umount_tree

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.dentry import Dentry
    from vfs.filesystem import Filesystem
    from vfs.propagation import Relate
    from vfs.virtual_filesystem import VirtualFilesystem


def new_mount(vfs: VirtualFilesystem, fs: Filesystem, root: Dentry, flags: MountFlags, source: str) -> Mount:
    """A detached mount of a file system, or of a part of it."""
    fs.mounts += 1
    return Mount(vfs.next_mount_id(), fs, root, flags, source)


def clone(
    vfs: VirtualFilesystem, location: VirtualDentry, namespace: MountNamespace | None, options: BindOptions
) -> Mount:
    """A detached mount of what is seen at a place, with the mounts below it if recursive: a peer of its original.

    Errors: EINVAL for an unbindable mount, for one that is neither in the caller's namespace nor detached, and for one with
    locked mounts that would be left out; EPERM for a locked mount below that is unbindable.
    """
    mount, dentry = location
    if mount.unbindable or mount.dead or mount.namespace not in {namespace, None}:
        raise error(errno.EINVAL)
    if options.recursive:
        copy = copy_tree(vfs, mount, propagation.become_peer, dentry)
    else:
        if any(child.locked and _shows(dentry, point) for point, child in mount.children.items()):
            raise error(errno.EINVAL)
        copy = _copy(vfs, mount, propagation.become_peer, dentry)
    if options.flags is not None:
        for each in copy.tree():
            each.flags = options.flags
    return copy


class NamespaceCopy(NamedTuple):
    """A namespace that was copied from another one, and which mount in it is the copy of which."""

    namespace: MountNamespace
    copies: dict[Mount, Mount]

    def moved(self, place: VirtualDentry) -> VirtualDentry:
        """Where a root or working directory is for a process that goes to the copy: the same place of the copied mount.

        One that lies elsewhere, in a detached mount or in another namespace, stays where it is.
        """
        return VirtualDentry(self.copies.get(place.mount, place.mount), place.dentry)


def copy_namespace(
    vfs: VirtualFilesystem, creds: Credentials, namespace: MountNamespace, user_namespace: object | None
) -> NamespaceCopy:
    """See `VirtualFilesystem.copy_mount_namespace`."""
    check_may_mount(creds)
    if namespace.root_mount.dead:
        raise error(errno.EINVAL)
    less_privileged = user_namespace is not None and user_namespace is not namespace.user_namespace
    relate = propagation.become_listener if less_privileged else propagation.become_peer
    copies: dict[Mount, Mount] = {}
    root = copy_tree(vfs, namespace.root_mount, relate, unbindable=True, copies=copies)
    copy = MountNamespace(root, creds, user_namespace if less_privileged else namespace.user_namespace)
    tree = root.tree()
    copy.mount_count = len(tree)
    for each in tree:
        each.namespace = copy
    if less_privileged:
        lock_tree(root)
    return NamespaceCopy(copy, copies)


def lock_tree(mount: Mount) -> None:
    """Fix what an owner with less privileges shall neither undo nor look beneath (lock_mnt_tree): the flags that keep
    something out, how access times are kept, and every mount but the root of the tree where it is.
    """
    for each in mount.tree():
        each.locked_flags |= each.flags & LOCKABLE_FLAGS | ATIME_FLAGS
        each.locked = each.locked or each is not mount


def copy_tree(
    vfs: VirtualFilesystem,
    mount: Mount,
    relate: Relate,
    root: Dentry | None = None,
    *,
    unbindable: bool = False,
    copies: dict[Mount, Mount] | None = None,
) -> Mount:
    """Copy a mount and what is mounted below its root, or below `root` in it. `copies` is told which became which.

    Unbindable mounts are left out with all that is in them, unless `unbindable`.

    Errors: EPERM for one that is left out and locked.
    """
    copies = {} if copies is None else copies
    copies[mount] = copy = _copy(vfs, mount, relate, root or mount.root)
    pending = _children(mount, copy.root)
    while pending:
        # Ids increase as the tree is walked: depth first, what was mounted first before what came later.
        child = pending.pop()
        if child.unbindable and not unbindable:
            if child.locked:
                umount_tree(vfs, copy)
                raise error(errno.EPERM)
            continue
        assert child.place is not None
        parent, point = child.place
        copies[child] = below = _copy(vfs, child, relate, child.root)
        below.locked = child.locked
        attach(vfs, below, VirtualDentry(copies[parent], point))
        pending += _children(child, child.root)
    return copy


def _children(mount: Mount, root: Dentry) -> list[Mount]:
    return [child for point, child in reversed(mount.children.items()) if _shows(root, point)]


def _shows(root: Dentry, dentry: Dentry) -> bool:
    return dentry is root or root.is_ancestor_of(dentry)


def _copy(vfs: VirtualFilesystem, mount: Mount, relate: Relate, root: Dentry) -> Mount:
    copy = new_mount(vfs, mount.fs, root, mount.flags, mount.source)
    copy.locked_flags = mount.locked_flags
    relate(mount, copy)
    return copy
