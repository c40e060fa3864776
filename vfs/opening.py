"""open(2): checks in Linux's order (fs/namei.c, path_openat and do_open), then the file's own `open`.

All functions are called with the lock of the VFS held.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

from vfs import dcache
from vfs.abi import MAY_EXEC, MAY_READ, MAY_WRITE, O_ACCMODE, O_TMPFILE_BIT, S_IALLUGO
from vfs.credentials import checked_set_stat, is_owner
from vfs.dentry import DEAD, ODD_REVALIDATE, ODD_SYMLINK, Dentry
from vfs.errors import error
from vfs.file import File
from vfs.mount import VirtualDentry
from vfs.namei import find_entry, node_options
from vfs.options import MountFlags, OpenOptions, SetStat
from vfs.resolve import SPECIAL_NAMES, PathOperation, Walk, cross_mounts, resolve, resolve_parent

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.inode import Inode
    from vfs.mount import Mount
    from vfs.pathcache import PathCache

_KEPT_FLAGS = ~(os.O_CREAT | os.O_EXCL | os.O_TRUNC | O_TMPFILE_BIT)
_O_PATH_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# What making a NamedTuple ends with, and takes twice as long to get to.
_new_tuple = tuple.__new__
_O_CREAT = os.O_CREAT
_O_DIRECTORY = os.O_DIRECTORY
_O_EXCL = os.O_EXCL
_O_NOATIME = os.O_NOATIME
_O_PATH = os.O_PATH
_NO_FILE = os.O_DIRECTORY | O_TMPFILE_BIT
_KEEP_LINK = os.O_NOFOLLOW | os.O_EXCL
_NODEV = int(MountFlags.NODEV)
_S_IFMT = 0o170000
_S_IFREG = stat.S_IFREG
_ACCESS_BITS = O_ACCMODE | os.O_TRUNC
# O_ACCMODE itself asks for both rights and gives neither (open(2), "O_ACCMODE"); truncating is writing.
_ACCESS = {
    os.O_RDONLY: MAY_READ,
    os.O_WRONLY: MAY_WRITE,
    os.O_RDWR: MAY_READ | MAY_WRITE,
    O_ACCMODE: MAY_READ | MAY_WRITE,
    os.O_RDONLY | os.O_TRUNC: MAY_READ | MAY_WRITE,
    os.O_WRONLY | os.O_TRUNC: MAY_WRITE,
    os.O_RDWR | os.O_TRUNC: MAY_READ | MAY_WRITE,
    O_ACCMODE | os.O_TRUNC: MAY_READ | MAY_WRITE,
}


def open_file(cache: PathCache, creds: Credentials, op: PathOperation, options: OpenOptions) -> File:
    """See `VirtualFilesystem.open_at`."""
    flags = options.flags
    if flags & _O_CREAT and not flags & _O_PATH:
        return _open_or_create(cache, creds, op, options)
    if flags & _O_PATH:
        flags &= _O_PATH_FLAGS
    elif flags & O_TMPFILE_BIT:
        return _open_tmpfile(cache, creds, op, options)
    follow = _follows(op, flags)
    if follow != op.follow_final_symlink:
        op = replace(op, follow_final_symlink=follow)
    location = resolve(cache, creds, op)
    if flags & _O_DIRECTORY and not stat.S_ISDIR(location.dentry.inode.mode):
        raise error(errno.ENOTDIR, op.path)
    return _open_existing(creds, location, flags, op.path)


def _open_tmpfile(cache: PathCache, creds: Credentials, op: PathOperation, options: OpenOptions) -> File:
    flags = options.flags
    if not flags & os.O_DIRECTORY or flags & O_ACCMODE not in {os.O_WRONLY, os.O_RDWR, O_ACCMODE}:
        raise error(errno.EINVAL, op.path)
    mount, directory = resolve(cache, creds, replace(op, follow_final_symlink=_follows(op, flags)))
    if not stat.S_ISDIR(directory.inode.mode):
        raise error(errno.ENOTDIR, op.path)
    mount.check_writable()
    directory.inode.check_access(creds, MAY_WRITE | MAY_EXEC)
    inode = directory.inode.tmpfile(creds, options.mode & S_IALLUGO, linkable=not flags & os.O_EXCL)
    # Its dentry is where the directory is, and in no listing.
    dentry = Dentry(f"#{inode.ino}", directory, inode)
    dentry.odd |= DEAD
    return open_unchecked(creds, VirtualDentry(mount, dentry), flags)


def _follows(op: PathOperation, flags: int) -> bool:
    return not flags & os.O_NOFOLLOW and (op.follow_final_symlink or bool(flags & os.O_DIRECTORY))


def _open_or_create(cache: PathCache, creds: Credentials, op: PathOperation, options: OpenOptions) -> File:
    flags = options.flags
    if flags & _NO_FILE:
        # With O_TMPFILE, too.
        raise error(errno.EINVAL, op.path)
    mount, parent, name, trailing_slash = resolve_parent(cache, creds, op)
    walk: Walk | None = None
    while True:
        if name in SPECIAL_NAMES:
            # The last component is the root, "." or "..": a directory, which O_CREAT refuses.
            raise error(errno.EEXIST if flags & _O_EXCL else errno.EISDIR, op.path)
        if trailing_slash:
            raise error(errno.EISDIR, op.path)
        dentry = find_entry(parent, name, op.path)
        if dentry is None:
            return _create(creds, mount, parent, name, options)
        if not dentry.odd & ODD_SYMLINK or flags & _KEEP_LINK or not op.follow_final_symlink:
            break
        if walk is None:
            walk = Walk(creds, op, VirtualDentry(mount, parent))
        walk.mount, walk.dentry = mount, parent
        walk.follow_link(dentry)
        mount, parent, name, trailing_slash = walk.to_parent()
    if flags & _O_EXCL:
        raise error(errno.EEXIST, op.path)
    location = cross_mounts(mount, dentry)
    if stat.S_ISDIR(location.dentry.inode.mode):
        raise error(errno.EISDIR, op.path)
    _check_sticky(creds, parent.inode, location.dentry.inode, op.path)
    return _open_existing(creds, location, flags, op.path)


def _check_sticky(creds: Credentials, directory: Inode, inode: Inode, path: str) -> None:
    # may_create_in_sticky() of Linux: whoever creates shall not get what somebody else put in a public directory. For regular
    # files and fifos it is only so if fs.protected_regular and fs.protected_fifos say so (proc_sys_fs(5)); here both are 0.
    if stat.S_ISREG(inode.mode) or stat.S_ISFIFO(inode.mode):
        return
    public = directory.mode & stat.S_ISVTX and directory.mode & stat.S_IWOTH
    if public and inode.uid not in {directory.uid, creds.uid}:
        raise error(errno.EACCES, path)


def _create(creds: Credentials, mount: Mount, directory: Dentry, name: str, options: OpenOptions) -> File:
    mount.check_writable()
    directory.inode.check_access(creds, MAY_WRITE | MAY_EXEC)
    node = node_options(_S_IFREG | options.mode & S_IALLUGO)
    if not directory.odd & ODD_REVALIDATE:
        dentry = dcache.mknod(creds, directory, name, node)
        location = _new_tuple(VirtualDentry, (mount, dentry))
        return _count(dentry.inode.open(location, options.flags & _KEPT_FLAGS, creds))
    dentry = dcache.create(creds, directory, name, node, options.flags)
    file = open_unchecked(creds, VirtualDentry(mount, dentry), options.flags)
    if options.flags & _O_NOATIME and not is_owner(creds, dentry.inode):
        # Somebody else's server may make files its own; what was made stays, as on Linux (may_open).
        file.close()
        raise error(errno.EPERM, name)
    return file


def _open_existing(creds: Credentials, location: VirtualDentry, flags: int, path: str) -> File:
    mount, dentry = location
    if flags & _O_PATH:
        return _count(dentry.inode.open_path(location, flags, creds))
    truncates = flags & os.O_TRUNC and stat.S_ISREG(dentry.inode.mode)
    if truncates:
        mount.check_writable()
    _check_open(creds, location, flags, path)
    if truncates and dentry.inode.fs.truncates_on_open:
        mount.check_writable()
        return _count(dentry.inode.open(location, flags & _KEPT_FLAGS | os.O_TRUNC, creds))
    file = open_unchecked(creds, location, flags)
    if truncates:
        _truncate(creds, dentry, file)
    return file


def _truncate(creds: Credentials, dentry: Dentry, file: File) -> None:
    try:
        dcache.set_stat(dentry, replace(checked_set_stat(creds, dentry.inode, SetStat(size=0)), mtime_now=True))
    except OSError:
        file.close()
        raise


def _check_open(creds: Credentials, location: VirtualDentry, flags: int, path: str) -> None:
    inode: Inode = location.dentry.inode
    wanted = _ACCESS[flags & _ACCESS_BITS]
    kind = inode.mode & _S_IFMT
    if kind != _S_IFREG:
        if kind == stat.S_IFLNK:
            raise error(errno.ELOOP, path)
        if kind == stat.S_IFDIR and wanted & MAY_WRITE:
            raise error(errno.EISDIR, path)
        if kind in {stat.S_IFCHR, stat.S_IFBLK} and location.mount.bits & _NODEV:
            raise error(errno.EACCES, path)
    inode.check_access(creds, wanted)
    if flags & _O_NOATIME and not is_owner(creds, inode):
        raise error(errno.EPERM, path)


def open_unchecked(creds: Credentials, location: VirtualDentry, flags: int) -> File:
    """Open a file whose access has been checked, and count it at its mount.

    Errors: EROFS for a file to be written on a read-only mount; ENXIO; the type's or the driver's own.
    """
    inode = location.dentry.inode
    if flags & O_ACCMODE and inode.mode & _S_IFMT == _S_IFREG:
        location.mount.check_writable()
    return _count(inode.open(location, flags & _KEPT_FLAGS, creds))


def _count(file: File) -> File:
    mount = file.location.mount
    mount.open_files += 1
    if file.counts_as_writer:
        mount.writers += 1
    watches = mount.fs.watches
    if watches.instances:
        watches.opened(file)
    return file
