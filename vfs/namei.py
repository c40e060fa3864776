"""Calls that make, remove, move and change files by name: checks in Linux's order, then `vfs.dcache`.

Which error is given when several apply is part of the behaviour; the order here is that of fs/namei.c and is compared with
the kernel by tests/differential. All functions are called with the lock of the VFS held.
"""

from __future__ import annotations

import errno
import functools
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

from vfs import dcache, unmounting
from vfs.abi import (
    MAY_EXEC,
    MAY_READ,
    MAY_WRITE,
    NAME_MAX,
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    RENAME_WHITEOUT,
    S_IALLUGO,
)
from vfs.credentials import Capability, check_delete, checked_set_stat, is_owner
from vfs.dentry import DEAD, ODD_MOUNTED
from vfs.errors import error
from vfs.options import MkdirOptions, MknodOptions, RenameOptions, SetStat
from vfs.path import check_name, check_path, split
from vfs.resolve import SPECIAL_NAMES, PathOperation, resolve, resolve_parent

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.dentry import Dentry
    from vfs.file import File
    from vfs.inode import Inode
    from vfs.mount import Mount, VirtualDentry
    from vfs.pathcache import PathCache

_NODE_TYPES = frozenset({stat.S_IFREG, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK})
_S_IFMT = 0o170000
_S_IFDIR = stat.S_IFDIR
_WHITEOUT_RDEV = 0
_RENAME_FLAGS = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT


def find_entry(directory: Dentry, name: str, path: str) -> Dentry | None:
    """The last component, looked up.

    Errors: ENOENT below a removed directory; ENAMETOOLONG.
    """
    if directory.odd & DEAD:
        raise error(errno.ENOENT, path)
    if len(name) * 4 > NAME_MAX:
        check_name(name)
    return dcache.find_locked(directory, name)


def _new_entry(
    cache: PathCache, creds: Credentials, op: PathOperation, *, directory: bool = False
) -> tuple[Mount, Dentry, str]:
    """Where a name is to be made, and the name."""
    # filename_create() of Linux: that the name exists outranks that it could not be made.
    mount, parent, name, trailing_slash = resolve_parent(cache, creds, op)
    if name in SPECIAL_NAMES or find_entry(parent, name, op.path) is not None:
        raise error(errno.EEXIST, op.path)
    if trailing_slash and not directory:
        raise error(errno.ENOENT, op.path)
    mount.check_writable()
    return mount, parent, name


def mkdir(cache: PathCache, creds: Credentials, op: PathOperation, options: MkdirOptions) -> None:
    """See `VirtualFilesystem.mkdir_at`."""
    _, parent, name = _new_entry(cache, creds, op, directory=True)
    parent.inode.check_access(creds, MAY_WRITE | MAY_EXEC)
    mode = options.mode & 0o1777
    dcache.mkdir(creds, parent, name, options if mode == options.mode else MkdirOptions(mode))


def mknod(cache: PathCache, creds: Credentials, op: PathOperation, options: MknodOptions) -> None:
    """See `VirtualFilesystem.mknod_at`."""
    kind = stat.S_IFMT(options.mode) or stat.S_IFREG
    if kind not in _NODE_TYPES:
        raise error(errno.EPERM if kind == stat.S_IFDIR else errno.EINVAL, op.path)
    _, parent, name = _new_entry(cache, creds, op)
    parent.inode.check_access(creds, MAY_WRITE | MAY_EXEC)
    is_device = kind == stat.S_IFBLK or (kind == stat.S_IFCHR and options.rdev != _WHITEOUT_RDEV)
    if is_device and not creds.has(Capability.MKNOD):
        raise error(errno.EPERM, op.path)
    dcache.mknod(creds, parent, name, node_options(options.mode & S_IALLUGO | kind, options.rdev))


@functools.lru_cache(maxsize=64)
def node_options(mode: int, rdev: int = 0) -> MknodOptions:
    """The options of a node; remembered, as making a frozen record costs more than the node."""
    return MknodOptions(mode, rdev if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else 0)


def symlink(cache: PathCache, creds: Credentials, op: PathOperation, target: str) -> None:
    """See `VirtualFilesystem.symlink_at`."""
    check_path(target)
    _, parent, name = _new_entry(cache, creds, op)
    parent.inode.check_access(creds, MAY_WRITE | MAY_EXEC)
    dcache.symlink(creds, parent, name, target)


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
    inode = place.dentry.inode
    mount, parent, name = _new_entry(cache, creds, new)
    if mount is not place.mount:
        raise error(errno.EXDEV, new.path)
    if not is_owner(creds, inode) and not _is_safe_link_source(creds, inode):
        raise error(errno.EPERM, new.path)
    parent.inode.check_access(creds, MAY_WRITE | MAY_EXEC)
    if stat.S_ISDIR(inode.mode):
        raise error(errno.EPERM, new.path)
    if inode.nlink == 0 and not inode.linkable:
        raise error(errno.ENOENT, new.path)
    dcache.link(parent, name, inode)


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
    mount, parent, name, trailing_slash = resolve_parent(cache, creds, op)
    if name in SPECIAL_NAMES:
        raise error(errno.EISDIR, op.path)
    mount.check_writable()
    dentry = find_entry(parent, name, op.path)
    if dentry is None:
        raise error(errno.ENOENT, op.path)
    inode = dentry.inode
    is_directory = inode.mode & _S_IFMT == _S_IFDIR
    if trailing_slash:
        raise error(errno.EISDIR if is_directory else errno.ENOTDIR, op.path)
    check_delete(creds, parent.inode, inode)
    if is_directory:
        raise error(errno.EISDIR, op.path)
    if dentry.odd & ODD_MOUNTED:
        unmounting.check_no_mountpoint(mount, dentry, op.path)
    dcache.unlink(dentry)
    if dentry.odd & ODD_MOUNTED:
        unmounting.forget_mounts_on(dentry)


def rmdir(cache: PathCache, creds: Credentials, op: PathOperation) -> None:
    """See `VirtualFilesystem.rmdir_at`."""
    mount, parent, name, _ = resolve_parent(cache, creds, op)
    if name in SPECIAL_NAMES:
        raise error({"": errno.EBUSY, ".": errno.EINVAL, "..": errno.ENOTEMPTY}[name], op.path)
    mount.check_writable()
    dentry = find_entry(parent, name, op.path)
    if dentry is None:
        raise error(errno.ENOENT, op.path)
    check_delete(creds, parent.inode, dentry.inode)
    if not stat.S_ISDIR(dentry.inode.mode):
        raise error(errno.ENOTDIR, op.path)
    if dentry.odd & ODD_MOUNTED:
        unmounting.check_no_mountpoint(mount, dentry, op.path)
    dcache.rmdir(dentry)
    if dentry.odd & ODD_MOUNTED:
        unmounting.forget_mounts_on(dentry)


def rename(
    cache: PathCache, creds: Credentials, old: PathOperation, new: PathOperation, options: RenameOptions
) -> None:
    """See `VirtualFilesystem.rename_at`."""
    flags = options.flags
    exchange = flags == RENAME_EXCHANGE
    if flags & ~_RENAME_FLAGS or (flags & RENAME_EXCHANGE and not exchange):
        raise error(errno.EINVAL, old.path)
    mount, source_parent, source_name, source_slash = resolve_parent(cache, creds, old)
    target_mount, target_parent, target_name, target_slash = resolve_parent(cache, creds, new)
    if target_mount is not mount:
        raise error(errno.EXDEV, new.path)
    _check_rename_names(source_name, target_name, old.path, new.path, flags)
    mount.check_writable()
    source = find_entry(source_parent, source_name, old.path)
    if source is None:
        raise error(errno.ENOENT, old.path)
    target = _find_target(target_parent, target_name, new.path, flags)
    if source_slash or target_slash:
        _check_slashes(source, target if exchange else source, new.path, source=source_slash, target=target_slash)
    if source_parent is not target_parent:
        _check_no_loop(source, target, source_parent, target_parent, new.path, exchange=exchange)
    if target is not None and target.inode is source.inode:
        return
    _check_rename_access(creds, source, target, source_parent, target_parent, exchange=exchange)
    _check_rename_mounts(source, target, mount, new.path)
    if flags & RENAME_WHITEOUT:
        options = RenameOptions(flags, creds)
    dcache.rename(source, target_parent, target_name, target, options)
    if target is not None and target.odd & ODD_MOUNTED and not exchange:
        unmounting.forget_mounts_on(target)


def _check_rename_names(source: str, target: str, old_path: str, new_path: str, flags: int) -> None:
    if source in SPECIAL_NAMES:
        raise error(errno.EBUSY, old_path)
    if target in SPECIAL_NAMES:
        raise error(errno.EEXIST if flags & RENAME_NOREPLACE else errno.EBUSY, new_path)


def _find_target(parent: Dentry, name: str, path: str, flags: int) -> Dentry | None:
    target = find_entry(parent, name, path)
    if target is not None and flags & RENAME_NOREPLACE:
        raise error(errno.EEXIST, path)
    if target is None and flags & RENAME_EXCHANGE:
        raise error(errno.ENOENT, path)
    return target


def _is_directory(dentry: Dentry) -> bool:
    return dentry.inode.mode & _S_IFMT == _S_IFDIR


def _check_slashes(moved: Dentry, taken: Dentry | None, path: str, *, source: bool, target: bool) -> None:
    """Slashes after a name say that it is a directory's: `moved` has the old name, `taken` gets or has the new one."""
    if (source and not _is_directory(moved)) or (target and taken is not None and not _is_directory(taken)):
        raise error(errno.ENOTDIR, path)


def _check_no_loop(
    source: Dentry, target: Dentry | None, source_parent: Dentry, target_parent: Dentry, path: str, *, exchange: bool
) -> None:
    if source is target_parent or source.is_ancestor_of(target_parent):
        raise error(errno.EINVAL, path)
    if target is not None and (target is source_parent or target.is_ancestor_of(source_parent)):
        raise error(errno.EINVAL if exchange else errno.ENOTEMPTY, path)


def _check_rename_access(
    creds: Credentials,
    source: Dentry,
    target: Dentry | None,
    source_parent: Dentry,
    target_parent: Dentry,
    *,
    exchange: bool,
) -> None:
    check_delete(creds, source_parent.inode, source.inode)
    if target is not None:
        check_delete(creds, target_parent.inode, target.inode)
        if not exchange and _is_directory(source) != _is_directory(target):
            raise error(errno.ENOTDIR if _is_directory(source) else errno.EISDIR, target.name)
    if source_parent is target_parent:
        return
    if target is None:
        target_parent.inode.check_access(creds, MAY_WRITE | MAY_EXEC)
    # The ".." of a directory that moves changes, and that is writing to it.
    if _is_directory(source):
        source.inode.check_access(creds, MAY_WRITE)
    if exchange and target is not None and _is_directory(target):
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
        current = replace(op, path=head, follow_final_symlink=True)
        found = _find(cache, creds, current)
    if found is not None and not missing and must_be_dir and not stat.S_ISDIR(found.dentry.inode.mode):
        raise error(errno.ENOTDIR, op.path)
    for each in reversed(missing):
        mkdir(cache, creds, each, MkdirOptions(mode))


def make_mountpoint(cache: PathCache, creds: Credentials, op: PathOperation, *, directory: bool) -> None:
    """See `VirtualFilesystem.make_synthetic_mountpoint`."""
    if _find(cache, creds, op) is not None:
        return
    parent = replace(op, path=split(op.path)[0], follow_final_symlink=True)
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
