"""Directory operations on dentries: the work of a call after its checks, with the dentry cache kept in step.

Analogous to vfs_mkdir, vfs_unlink, vfs_rename ... of Linux (fs/namei.c) without their permission checks. The VFS calls them
after it has checked; an overlay calls them on the dentries of its layers, so that a layer that is also visible elsewhere
stays coherent. All but `lookup` and `find` need `Filesystem.lock`.

Path cache: a call that makes an earlier successful walk wrong drops the cache of whole paths. Making a name never does;
removing a plain file marks its dentry DEAD, which a hit checks.
"""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING

from vfs.abi import RENAME_EXCHANGE
from vfs.dentry import DEAD, Dentry
from vfs.errors import error
from vfs.options import RenameOptions

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.inode import Inode
    from vfs.options import MkdirOptions, MknodOptions, SetStat


_RENAME = RenameOptions()


def lookup(parent: Dentry, name: str) -> Dentry:
    """The child called `name`, from the cache or from the file system.

    Errors: ENOENT; ENOTDIR if the parent is no directory; the type's own.
    """
    child = find(parent, name)
    if child is None:
        raise error(errno.ENOENT, name)
    return child


def find(parent: Dentry, name: str) -> Dentry | None:
    """The child called `name`, from the cache or from the file system, or None if there is none.

    Errors: ENOTDIR if the parent is no directory; the type's own.
    """
    child = parent.children.get(name)
    fs = parent.inode.fs
    if child is not None and not fs.revalidates:
        return child
    # Without the lock, a name removed between looking it up and caching it would stay in the cache for good.
    with fs.lock:
        return find_locked(parent, name)


def find_locked(parent: Dentry, name: str) -> Dentry | None:
    """As `find`, for callers that hold the lock."""
    directory = parent.inode
    child = parent.children.get(name)
    if child is not None and not directory.fs.revalidates:
        return child
    inode = directory.find(name)
    if child is not None:
        if child.inode is inode:
            child.update_flags()
            return child
        _forget(child)
    if inode is None:
        return None
    child = parent.children[name] = Dentry(name, parent, inode)
    return child


def _made(parent: Dentry, name: str, inode: Inode) -> Dentry:
    dentry = parent.children[name] = Dentry(name, parent, inode)
    watches = inode.fs.watches
    if watches.instances:
        watches.created(dentry)
    return dentry


def _forget(dentry: Dentry) -> None:
    dentry.odd |= DEAD
    if dentry.parent.children.get(dentry.name) is dentry:
        del dentry.parent.children[dentry.name]


def mknod(creds: Credentials, parent: Dentry, name: str, options: MknodOptions) -> Dentry:
    """Make a file that is no directory and no link. Precondition: the name is free.

    Errors: the type's: EPERM, ENOSPC.
    """
    return _made(parent, name, parent.inode.mknod(creds, name, options))


def create(creds: Credentials, parent: Dentry, name: str, options: MknodOptions, flags: int) -> Dentry:
    """Make a regular file that is opened next, with `flags`. Precondition: the name is free.

    Errors: the type's: EPERM, ENOSPC.
    """
    return _made(parent, name, parent.inode.create(creds, name, options, flags))


def mkdir(creds: Credentials, parent: Dentry, name: str, options: MkdirOptions) -> Dentry:
    """Make a directory. Precondition: the name is free.

    Errors: the type's: EPERM, ENOSPC, EMLINK.
    """
    return _made(parent, name, parent.inode.mkdir(creds, name, options))


def symlink(creds: Credentials, parent: Dentry, name: str, target: str) -> Dentry:
    """Make a symbolic link. Precondition: the name is free.

    Errors: the type's: EPERM, ENOSPC.
    """
    return _made(parent, name, parent.inode.symlink(creds, name, target))


def link(parent: Dentry, name: str, inode: Inode) -> Dentry:
    """Give a file one more name. Precondition: the name is free, the file is of this file system and no directory.

    Errors: the type's: EPERM, EMLINK.
    """
    parent.inode.link(name, inode)
    look_again(inode)
    watches = inode.fs.watches
    if watches.instances:
        watches.linked(inode)
    return _made(parent, name, inode)


def unlink(dentry: Dentry) -> None:
    """Remove a name that is no directory's.

    Errors: the type's: EPERM.
    """
    inode = dentry.inode
    dentry.parent.inode.unlink(dentry.name, inode)
    _forget(dentry)
    if stat.S_ISLNK(inode.mode):
        inode.fs.path_cache.drop()
    watches = inode.fs.watches
    if watches.instances:
        watches.unlinked(dentry)


def rmdir(dentry: Dentry) -> None:
    """Remove an empty directory.

    Errors: ENOTEMPTY; the type's: EPERM.
    """
    dentry.parent.inode.rmdir(dentry.name, dentry.inode)
    _forget(dentry)
    dentry.inode.fs.path_cache.drop()
    watches = dentry.inode.fs.watches
    if watches.instances:
        watches.unlinked(dentry)


def rename(
    dentry: Dentry,
    new_parent: Dentry,
    new_name: str,
    target: Dentry | None,
    options: RenameOptions = _RENAME,
) -> None:
    """Move a name, over `target` if there is one, or exchange the two. Preconditions: same file system, kinds agree unless
    exchanged, no loop, not the same file.

    Errors: ENOTEMPTY; the type's: EPERM, EXDEV, EINVAL, ENOSPC.
    """
    old_parent, old_name = dentry.parent, dentry.name
    old_parent.inode.rename(old_name, new_parent.inode, new_name, options)
    del old_parent.children[old_name]
    if target is not None:
        if options.flags & RENAME_EXCHANGE:
            _put(target, old_parent, old_name)
        else:
            _forget(target)
    _put(dentry, new_parent, new_name)
    dentry.inode.fs.path_cache.drop()
    watches = dentry.inode.fs.watches
    if watches.instances:
        watches.renamed(dentry, old_parent, old_name, target)


def _put(dentry: Dentry, parent: Dentry, name: str) -> None:
    dentry.name = name
    dentry.parent = parent
    parent.children[name] = dentry


def set_stat(dentry: Dentry, changes: SetStat) -> None:
    """Change attributes.

    Errors: the type's: EPERM, ENOSPC, EFBIG, EINVAL.
    """
    inode = dentry.inode
    inode.set_stat(changes)
    if stat.S_ISDIR(inode.mode) and not (changes.mode is changes.uid is changes.gid is None):
        dentry.update_flags()
        inode.fs.path_cache.drop()
    else:
        look_again(inode)
    watches = inode.fs.watches
    if watches.instances:
        watches.changed(dentry, changes)


def look_again(inode: Inode) -> None:
    """A link was changed: following it counts as a look at it once more (`vfs.atime`), which remembered walks would skip."""
    if stat.S_ISLNK(inode.mode):
        inode.fs.path_cache.drop()
