"""What holds in a VFS whenever nobody holds its lock: names, links, accounts, mounts and the paths that are remembered."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from vfs.dentry import DEAD, ODD_MOUNTED, Dentry
from vfs.fs.tmpfs import TmpfsFilesystem
from vfs.fs.tmpfs.inode import Directory
from vfs.pathcache import PathCache
from vfs.resolve import PathOperation, resolve

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfs import Inode, Mount, MountNamespace, VirtualFilesystem


def check(vfs: VirtualFilesystem, namespaces: list[MountNamespace], *, closed: bool = False) -> None:
    """Everything, under the lock; more of it if all files are closed."""
    with vfs.lock:
        assert not vfs.mount_changes.number & 1, "a change of mounts never ended"
        mounts = [mount for namespace in namespaces for mount in namespace]
        for namespace in namespaces:
            check_namespace(namespace)
        assert not closed or all((mount.open_files, mount.writers) == (0, 0) for mount in mounts)
        check_mountpoints(vfs, mounts)
        for fs in {mount.fs for mount in mounts}:
            check_names(fs.root)
            if isinstance(fs, TmpfsFilesystem):
                check_accounts(fs, closed=closed)
        check_paths(vfs)


def check_namespace(namespace: MountNamespace) -> None:
    """The tree hangs together, and is counted."""
    tree = namespace.root_mount.tree()
    assert namespace.mount_count == len(tree) == len(set(tree))
    assert namespace.root_mount.place is None
    for mount in tree:
        assert not mount.dead
        assert mount.namespace is namespace
        for point, child in mount.children.items():
            assert child.place == (mount, point)
        for group in (mount.peers, mount.master):
            assert group is None or mount in (group.members if group is mount.peers else group.slaves)


def check_mountpoints(vfs: VirtualFilesystem, mounts: list[Mount]) -> None:
    """The table of mount points is that of the trees; a dentry knows that it is one."""
    found = Counter(mount.mountpoint for mount in mounts if mount.place is not None)
    for point, here in vfs.mountpoints.items():
        assert here
        assert point.odd & ODD_MOUNTED
        assert not point.dead
        assert all(mount.mountpoint is point for mount in here)
        assert len(here) == len(set(here))
    assert all(count <= len(vfs.mountpoints[point]) for point, count in found.items() if point is not None)


def check_names(dentry: Dentry) -> None:
    """A cached name is the file system's, and is where it says that it is."""
    assert not dentry.dead
    if dentry.odd & ODD_MOUNTED:
        assert dentry in dentry.inode.fs.vfs.mountpoints
    for name, child in dentry.children.items():
        assert (child.name, child.parent) == (name, dentry)
        assert dentry.inode.find(name) is child.inode
        check_names(child)


def check_accounts(fs: TmpfsFilesystem, *, closed: bool) -> None:
    """Links are as many as names; pages and inodes are all accounted for."""
    names: Counter[Inode] = Counter()
    pending: list[Inode] = [fs.root.inode]
    for inode in pending:
        if isinstance(inode, Directory):
            names.update(inode.entries.values())
            below = [each for each in inode.entries.values() if isinstance(each, Directory)]
            assert inode.nlink == 2 + len(below)
            assert inode.size == 20 * (2 + len(inode.entries))
            pending += below
    assert all(inode.nlink == count for inode, count in names.items() if not isinstance(inode, Directory))
    accounts = (fs.inodes, 1 + names.total()), (fs.pages, pages_of(names))
    # Files that are open without a name count as well.
    assert all(kept == found if closed else kept >= found for kept, found in accounts), accounts


def pages_of(inodes: Iterable[Inode]) -> int:
    """The pages that some files take."""
    return sum(inode.stat().st_blocks for inode in inodes) // 8


def check_paths(vfs: VirtualFilesystem) -> None:
    """Whatever is remembered is what a walk finds now."""
    for (creds, root, start, path, follow), place in list(vfs.path_cache.entries.items()):
        if not place.dentry.odd & DEAD:
            assert resolve(PathCache(), creds, PathOperation(root, start, path, follow)) == place, path
