"""Calls that make, remove, move and change files by name: checks in Linux's order, then `vfs.dcache`.

Which error is given when several apply is part of the behaviour; the order here is that of fs/namei.c and is compared with
the kernel by tests/differential. All functions are called with the lock of the VFS held.
"""

from __future__ import annotations

import errno
import functools
import stat
from typing import TYPE_CHECKING

from vfs import dcache, unmounting
from vfs.abi import (
    MAY_EXEC,
    MAY_READ,
    MAY_WRITE,
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    RENAME_WHITEOUT,
    S_IALLUGO,
)
from vfs.credentials import Capability, check_delete, checked_set_stat, is_owner
from vfs.dentry import DEAD, ODD_MOUNTED, Dentry
from vfs.errors import error
from vfs.options import MkdirOptions, MknodOptions, RenameOptions, SetStat
from vfs.path import check_name, check_path, split
from vfs.resolve import SPECIAL_NAMES, Parent, PathOperation, resolve, resolve_parent

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.file import File
    from vfs.inode import Inode
    from vfs.mount import Mount, VirtualDentry
    from vfs.pathcache import PathCache

_NODE_TYPES = frozenset({stat.S_IFREG, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK})
_WHITEOUT_RDEV = 0
_RENAME_FLAGS = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT


def find_entry(parent: Parent, path: str) -> Dentry | None:
    """The last component, looked up.

    Errors: ENOENT below a removed directory; ENAMETOOLONG.
    """
    directory = parent.dentry
    if directory.odd & DEAD:
        raise error(errno.ENOENT, path)
    check_name(parent.name)
    return dcache.find_locked(directory, parent.name)


def _new_entry(cache: PathCache, creds: Credentials, op: PathOperation, *, directory: bool) -> Parent:
    # filename_create() of Linux: that the name exists outranks that it could not be made.
    parent = resolve_parent(cache, creds, op)
    if parent.name in SPECIAL_NAMES or find_entry(parent, op.path) is not None:
        raise error(errno.EEXIST, op.path)
    if parent.trailing_slash and not directory:
        raise error(errno.ENOENT, op.path)
    parent.mount.check_writable()
    return parent


def mkdir(cache: PathCache, creds: Credentials, op: PathOperation, options: MkdirOptions) -> None:
    """See `VirtualFilesystem.mkdir_at`."""
    parent = _new_entry(cache, creds, op, directory=True)
    parent.dentry.inode.check_access(creds, MAY_WRITE | MAY_EXEC)
    mode = options.mode & 0o1777
    dcache.mkdir(creds, parent.dentry, parent.name, options if mode == options.mode else MkdirOptions(mode))


def mknod(cache: PathCache, creds: Credentials, op: PathOperation, options: MknodOptions) -> None:
    """See `VirtualFilesystem.mknod_at`."""
    kind = stat.S_IFMT(options.mode) or stat.S_IFREG
    if kind not in _NODE_TYPES:
        raise error(errno.EPERM if kind == stat.S_IFDIR else errno.EINVAL, op.path)
    parent = _new_entry(cache, creds, op, directory=False)
    parent.dentry.inode.check_access(creds, MAY_WRITE | MAY_EXEC)
    is_device = kind == stat.S_IFBLK or (kind == stat.S_IFCHR and options.rdev != _WHITEOUT_RDEV)
    if is_device and not creds.has(Capability.MKNOD):
        raise error(errno.EPERM, op.path)
    dcache.mknod(creds, parent.dentry, parent.name, node_options(options.mode & S_IALLUGO | kind, options.rdev))


@functools.lru_cache(maxsize=64)
def node_options(mode: int, rdev: int = 0) -> MknodOptions:
    """The options of a node; remembered, as making a frozen record costs more than the node."""
    return MknodOptions(mode, rdev if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else 0)


def symlink(cache: PathCache, creds: Credentials, op: PathOperation, target: str) -> None:
    """See `VirtualFilesystem.symlink_at`."""
    check_path(target)
    parent = _new_entry(cache, creds, op, directory=False)
    parent.dentry.inode.check_access(creds, MAY_WRITE | MAY_EXEC)
    dcache.symlink(creds, parent.dentry, parent.name, target)


def link(cache: PathCache, creds: Credentials, old: PathOperation, new: PathOperation) -> None:
    """See `VirtualFilesystem.link_at`."""
    _link(cache, creds, resolve(cache, creds, old), new)


def link_file(cache: PathCache, creds: Credentials, file: File, new: PathOperation) -> None:
    """See `VirtualFilesystem.link_file_at`."""
    if file.closed:
        raise error(errno.EBADF, new.path)
    if creds is not file.creds and not creds.has(Capability.DAC_READ_SEARCH):
        raise error(errno.ENOENT, new.path)
    _link(cache, creds, file.location, new)


def _link(cache: PathCache, creds: Credentials, place: VirtualDentry, new: PathOperation) -> None:
    mount, inode = place.mount, place.dentry.inode
    parent = _new_entry(cache, creds, new, directory=False)
    if parent.mount is not mount:
        raise error(errno.EXDEV, new.path)
    if not is_owner(creds, inode) and not _is_safe_link_source(creds, inode):
        raise error(errno.EPERM, new.path)
    parent.dentry.inode.check_access(creds, MAY_WRITE | MAY_EXEC)
    if stat.S_ISDIR(inode.mode):
        raise error(errno.EPERM, new.path)
    if inode.nlink == 0 and not inode.linkable:
        raise error(errno.ENOENT, new.path)
    dcache.link(parent.dentry, parent.name, inode)


def _is_safe_link_source(creds: Credentials, inode: Inode) -> bool:
    # fs.protected_hardlinks (proc_sys_fs(5)): a link must not keep alive what its maker could not use.
    mode = inode.mode
    if not stat.S_ISREG(mode) or mode & stat.S_ISUID or mode & (stat.S_ISGID | stat.S_IXGRP) == 0o2010:
        return False
    try:
        inode.check_access(creds, MAY_READ | MAY_WRITE)
    except PermissionError:
        return False
    return True


def unlink(cache: PathCache, creds: Credentials, op: PathOperation) -> None:
    """See `VirtualFilesystem.unlink_at`."""
    parent = resolve_parent(cache, creds, op)
    if parent.name in SPECIAL_NAMES:
        raise error(errno.EISDIR, op.path)
    parent.mount.check_writable()
    dentry = find_entry(parent, op.path)
    if dentry is None:
        raise error(errno.ENOENT, op.path)
    is_directory = stat.S_ISDIR(dentry.inode.mode)
    if parent.trailing_slash:
        raise error(errno.EISDIR if is_directory else errno.ENOTDIR, op.path)
    check_delete(creds, parent.dentry.inode, dentry.inode)
    if is_directory:
        raise error(errno.EISDIR, op.path)
    if dentry.odd & ODD_MOUNTED:
        unmounting.check_no_mountpoint(parent.mount, dentry, op.path)
    dcache.unlink(dentry)
    if dentry.odd & ODD_MOUNTED:
        unmounting.forget_mounts_on(dentry)


def rmdir(cache: PathCache, creds: Credentials, op: PathOperation) -> None:
    """See `VirtualFilesystem.rmdir_at`."""
    parent = resolve_parent(cache, creds, op)
    if parent.name in SPECIAL_NAMES:
        raise error({"": errno.EBUSY, ".": errno.EINVAL, "..": errno.ENOTEMPTY}[parent.name], op.path)
    parent.mount.check_writable()
    dentry = find_entry(parent, op.path)
    if dentry is None:
        raise error(errno.ENOENT, op.path)
    check_delete(creds, parent.dentry.inode, dentry.inode)
    if not stat.S_ISDIR(dentry.inode.mode):
        raise error(errno.ENOTDIR, op.path)
    if dentry.odd & ODD_MOUNTED:
        unmounting.check_no_mountpoint(parent.mount, dentry, op.path)
    dcache.rmdir(dentry)
    if dentry.odd & ODD_MOUNTED:
        unmounting.forget_mounts_on(dentry)


def rename(
    cache: PathCache, creds: Credentials, old: PathOperation, new: PathOperation, options: RenameOptions
) -> None:
    """See `VirtualFilesystem.rename_at`."""
    flags = options.flags
    if flags & ~_RENAME_FLAGS or (flags & RENAME_EXCHANGE and flags != RENAME_EXCHANGE):
        raise error(errno.EINVAL, old.path)
    source_parent = resolve_parent(cache, creds, old)
    target_parent = resolve_parent(cache, creds, new)
    _check_rename_ends(source_parent, target_parent, old, new, options)
    source = find_entry(source_parent, old.path)
    if source is None:
        raise error(errno.ENOENT, old.path)
    target = find_entry(target_parent, new.path)
    if target is not None and flags & RENAME_NOREPLACE:
        raise error(errno.EEXIST, new.path)
    if target is None and flags & RENAME_EXCHANGE:
        raise error(errno.ENOENT, new.path)
    exchange = bool(flags & RENAME_EXCHANGE)
    _check_rename_shape(source, target, source_parent, target_parent, new.path, exchange=exchange)
    if target is not None and target.inode is source.inode:
        return
    _check_rename_access(creds, source, target, source_parent, target_parent, exchange=exchange)
    _check_rename_mounts(source, target, source_parent.mount, new.path)
    if flags & RENAME_WHITEOUT:
        options = RenameOptions(flags, creds)
    dcache.rename(source, target_parent.dentry, target_parent.name, target, options)
    if target is not None and target.odd & ODD_MOUNTED and not exchange:
        unmounting.forget_mounts_on(target)


def _check_rename_ends(
    source: Parent, target: Parent, old: PathOperation, new: PathOperation, options: RenameOptions
) -> None:
    if source.mount is not target.mount:
        raise error(errno.EXDEV, new.path)
    if source.name in SPECIAL_NAMES:
        raise error(errno.EBUSY, old.path)
    if target.name in SPECIAL_NAMES:
        raise error(errno.EEXIST if options.flags & RENAME_NOREPLACE else errno.EBUSY, new.path)
    source.mount.check_writable()


def _check_rename_shape(
    source: Dentry, target: Dentry | None, source_parent: Parent, target_parent: Parent, path: str, *, exchange: bool
) -> None:
    # Slashes after a name say that it is a directory's: that of the source, or, exchanged, each its own.
    moves_directory = stat.S_ISDIR(source.inode.mode)
    takes_directory = moves_directory
    if exchange and target is not None:
        takes_directory = stat.S_ISDIR(target.inode.mode)
    if (source_parent.trailing_slash and not moves_directory) or (target_parent.trailing_slash and not takes_directory):
        raise error(errno.ENOTDIR, path)
    if source_parent.dentry is target_parent.dentry:
        return
    if source is target_parent.dentry or source.is_ancestor_of(target_parent.dentry):
        raise error(errno.EINVAL, path)
    if target is not None and (target is source_parent.dentry or target.is_ancestor_of(source_parent.dentry)):
        raise error(errno.EINVAL if exchange else errno.ENOTEMPTY, path)


def _check_rename_access(
    creds: Credentials,
    source: Dentry,
    target: Dentry | None,
    source_parent: Parent,
    target_parent: Parent,
    *,
    exchange: bool,
) -> None:
    is_directory = stat.S_ISDIR(source.inode.mode)
    check_delete(creds, source_parent.dentry.inode, source.inode)
    if target is None:
        target_parent.dentry.inode.check_access(creds, MAY_WRITE | MAY_EXEC)
    else:
        check_delete(creds, target_parent.dentry.inode, target.inode)
        if not exchange and is_directory != stat.S_ISDIR(target.inode.mode):
            raise error(errno.ENOTDIR if is_directory else errno.EISDIR, target.name)
    if source_parent.dentry is target_parent.dentry:
        return
    # The ".." of a directory that moves changes, and that is writing to it.
    if is_directory:
        source.inode.check_access(creds, MAY_WRITE)
    if exchange and target is not None and stat.S_ISDIR(target.inode.mode):
        target.inode.check_access(creds, MAY_WRITE)


def _check_rename_mounts(source: Dentry, target: Dentry | None, mount: Mount, path: str) -> None:
    for dentry in (source, target):
        if dentry is not None and dentry.odd & ODD_MOUNTED:
            unmounting.check_no_mountpoint(mount, dentry, path)


def set_stat(cache: PathCache, creds: Credentials, op: PathOperation, changes: SetStat) -> None:
    """See `VirtualFilesystem.set_stat_at`."""
    if changes.size is not None and changes.size < 0:
        raise error(errno.EINVAL, op.path)
    mount, dentry = resolve(cache, creds, op)
    inode = dentry.inode
    if changes.size is not None and not stat.S_ISREG(inode.mode):
        raise error(errno.EISDIR if stat.S_ISDIR(inode.mode) else errno.EINVAL, op.path)
    mount.check_writable()
    if changes.size is not None:
        inode.check_access(creds, MAY_WRITE)
    if changes.mode is not None and stat.S_ISLNK(inode.mode):
        raise error(errno.EOPNOTSUPP, op.path)
    dcache.set_stat(dentry, checked_set_stat(creds, inode, changes))


def mkdir_all(cache: PathCache, creds: Credentials, op: PathOperation, mode: int, *, must_be_dir: bool) -> None:
    """See `VirtualFilesystem.mkdir_all_at`."""
    missing: list[PathOperation] = []
    found, current = _find(cache, creds, op), op
    while found is None:
        missing.append(current)
        head, _, _ = split(current.path)
        if not head:
            break
        current = op._replace(path=head, follow_final_symlink=True)
        found = _find(cache, creds, current)
    if found is not None and not missing and must_be_dir and not stat.S_ISDIR(found.dentry.inode.mode):
        raise error(errno.ENOTDIR, op.path)
    for each in reversed(missing):
        mkdir(cache, creds, each, MkdirOptions(mode))


def make_mountpoint(cache: PathCache, creds: Credentials, op: PathOperation, *, directory: bool) -> None:
    """See `VirtualFilesystem.make_synthetic_mountpoint`."""
    if _find(cache, creds, op) is not None:
        return
    parent = op._replace(path=split(op.path)[0], follow_final_symlink=True)
    if directory:
        mkdir_all(cache, creds, op, 0o755, must_be_dir=False)
    else:
        if parent.path:
            mkdir_all(cache, creds, parent, 0o755, must_be_dir=True)
        mknod(cache, creds, op, MknodOptions(stat.S_IFREG | 0o644))


def _find(cache: PathCache, creds: Credentials, op: PathOperation) -> VirtualDentry | None:
    try:
        return resolve(cache, creds, op)
    except FileNotFoundError:
        return None
