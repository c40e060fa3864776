"""A file itself, apart from its names: attributes, and the operations that a file system type overrides.

Analogous to Linux's struct inode with its inode_operations (Documentation/filesystems/vfs.rst). Differences:

* mknod makes regular files too: there is no separate create;
* one class a file system type and kind of file; an operation that a class does not override says what Linux says for it.

Operations do the work alone: permission, existence, mount and read-only checks are done before, by the VFS (or by an overlay
for its layers), and the dentry cache is kept by `vfs.dcache`. They run under `Filesystem.lock`, except lookup, iterate,
readlink, stat and reads of extended attributes, which may run beside a change.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from vfs import credentials
from vfs.errors import error

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.file import File
    from vfs.filesystem import Filesystem
    from vfs.mount import VirtualDentry
    from vfs.options import MkdirOptions, MknodOptions, RenameOptions, SetStat

_SECOND = 1_000_000_000


class DirectoryEntry(NamedTuple):
    """One name in a directory, as getdents64 reports it; `type` is the S_IFMT part of a mode."""

    name: str
    ino: int
    type: int


class Inode:
    """A file, directory, link, node, fifo or socket of one file system.

    Attributes hold what stat(2) reports. Types that are the only master of their attributes just keep them; others bring
    them up to date in `lookup` and `stat`.

    Invariant: the type bits of `mode` never change. Compared by identity: one file is one Inode as long as it is cached.
    """

    __slots__ = (
        "atime_ns",
        "ctime_ns",
        "fs",
        "gid",
        "ino",
        "mode",
        "mtime_ns",
        "nlink",
        "rdev",
        "size",
        "uid",
    )

    def __init__(self, fs: Filesystem, ino: int, mode: int, uid: int, gid: int) -> None:
        self.fs = fs
        self.ino = ino
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.nlink = 1
        self.size = 0
        self.rdev = 0
        self.atime_ns = self.mtime_ns = self.ctime_ns = 0

    # attributes

    def stat(self) -> os.stat_result:
        """Tell the attributes (stat(2)). Override to refresh them first, or when blocks are counted otherwise."""
        return self.stat_result((self.size + 511) >> 9)

    def stat_result(self, blocks: int) -> os.stat_result:
        """A real `os.stat_result` of the attributes, with `blocks` units of 512 bytes."""
        atime, mtime, ctime = self.atime_ns, self.mtime_ns, self.ctime_ns
        return os.stat_result(
            (
                self.mode,
                self.ino,
                self.fs.dev,
                self.nlink,
                self.uid,
                self.gid,
                self.size,
                atime // _SECOND,
                mtime // _SECOND,
                ctime // _SECOND,
                atime / _SECOND,
                mtime / _SECOND,
                ctime / _SECOND,
                atime,
                mtime,
                ctime,
                4096,
                blocks,
                self.rdev,
            )
        )

    def birth_ns(self) -> int | None:
        """When the file was made (stx_btime), or None from a type that does not keep it."""
        return None

    def set_atime(self, now: int) -> None:
        """Note that the file was looked at, when `vfs.atime` says that this counts; no lock is held."""
        self.atime_ns = now

    def set_stat(self, changes: SetStat) -> None:
        """Carry out a change that `credentials.checked_set_stat` has allowed, and set ctime.

        Errors: EPERM here: a type without changeable attributes. A type that has them raises EINVAL, EFBIG, ENOSPC for sizes.
        """
        raise error(errno.EPERM)

    def check_access(self, creds: Credentials, mask: int) -> None:
        """Check MAY_READ | MAY_WRITE | MAY_EXEC by mode bits and capabilities; a type with other rules overrides this.

        Errors: EACCES.
        """
        # The owner with enough bits is the common case.
        if creds.uid != self.uid or mask & ~(self.mode >> 6):
            credentials.check_permission(creds, self, mask)

    def access(self, creds: Credentials, mask: int) -> None:
        """As `check_access`, but nothing follows that would be refused by itself (faccessat2(2)).

        Errors: EACCES.
        """
        self.check_access(creds, mask)

    # a directory's names

    def lookup(self, name: str) -> Inode:
        """The file called `name` in this directory: never "", "." or "..", at most NAME_MAX bytes.

        A type that sets `Filesystem.revalidates` is asked at every step of every walk: it returns the same object as long
        as the name still means the same file, with its attributes fresh.

        Errors: ENOENT; ENOTDIR if this is no directory.
        """
        raise error(errno.ENOTDIR, name)

    def find(self, name: str) -> Inode | None:
        """As `lookup`, with None for a missing name: override both where raising would cost.

        Errors: ENOTDIR if this is no directory.
        """
        try:
            return self.lookup(name)
        except FileNotFoundError:
            return None

    def iterate(self) -> Iterator[DirectoryEntry]:
        """The names in this directory without "." and "..", in a stable order.

        Errors: ENOTDIR.
        """
        raise error(errno.ENOTDIR)

    def names(self) -> list[str]:
        """As `iterate`, the names alone: override where that is cheaper.

        Errors: ENOTDIR.
        """
        return [entry.name for entry in self.iterate()]

    def mknod(self, creds: Credentials, name: str, options: MknodOptions) -> Inode:
        """Make a regular file, node, fifo or socket that does not exist yet, owned by `creds`.

        Errors: EPERM here, for a type whose directories are fixed; ENOSPC.
        """
        raise error(errno.EPERM, name)

    def create(self, creds: Credentials, name: str, options: MknodOptions, flags: int) -> Inode:
        """Make a regular file for an open(2) with `flags`: `open` of what is returned comes next. A type that does both in one step
        keeps what it opened until then. Asked of types that set `Filesystem.revalidates`; the others have `mknod`.

        Errors: as `mknod`.
        """
        return self.mknod(creds, name, options)

    def mkdir(self, creds: Credentials, name: str, options: MkdirOptions) -> Inode:
        """Make a directory that does not exist yet.

        Errors: EPERM here; ENOSPC, EMLINK.
        """
        raise error(errno.EPERM, name)

    def symlink(self, creds: Credentials, name: str, target: str) -> Inode:
        """Make a symbolic link that does not exist yet.

        Errors: EPERM here; ENOSPC, ENAMETOOLONG.
        """
        raise error(errno.EPERM, name)

    def link(self, name: str, inode: Inode) -> None:
        """Give `inode`, of the same file system and no directory, one more name, which does not exist yet.

        Errors: EPERM here; EMLINK, ENOSPC.
        """
        raise error(errno.EPERM, name)

    def unlink(self, name: str, inode: Inode) -> None:
        """Remove the name of `inode`, which is no directory.

        Errors: EPERM here.
        """
        raise error(errno.EPERM, name)

    def rmdir(self, name: str, inode: Inode) -> None:
        """Remove the directory `inode`, which may have entries.

        Errors: EPERM here; ENOTEMPTY.
        """
        raise error(errno.EPERM, name)

    def rename(self, name: str, new_directory: Inode, new_name: str, options: RenameOptions) -> None:
        """Move an existing name to `new_directory` of the same file system, over what is called `new_name` there.

        Both names resolve to different files or the target is missing; kinds have been checked (ENOTDIR, EISDIR), loops too.
        RENAME_NOREPLACE is the VFS's business. With RENAME_EXCHANGE the two names, of whatever kinds, change places; with
        RENAME_WHITEOUT a character device 0:0 without permissions stays behind at `name`, all or nothing.

        Errors: EPERM here; ENOTEMPTY for a target directory with entries; EXDEV; ENOSPC for a whiteout; EINVAL for flags that
        the type does not know.
        """
        raise error(errno.EPERM, name)

    linkable: bool = False
    """Whether a file that has no name may be given one: it was made by `tmpfile`, and never had any."""

    def tmpfile(self, creds: Credentials, mode: int, *, linkable: bool) -> Inode:
        """Make a regular file without a name in this directory, owned by `creds` (O_TMPFILE of open(2)). It is opened next, and
        goes when it is closed last, unless it was linked; which it may be if `linkable`, without O_EXCL.

        Errors: EOPNOTSUPP here; ENOSPC.
        """
        raise error(errno.EOPNOTSUPP)

    # a link's text

    def readlink(self) -> str:
        """The text of a symbolic link.

        Errors: EINVAL if this is none.
        """
        raise error(errno.EINVAL)

    # contents

    def open(self, location: VirtualDentry, flags: int, creds: Credentials) -> File:
        """Open the file; access, O_CREAT, O_EXCL and O_TRUNC have been dealt with.

        Directories list `iterate`; nodes open what the VFS's device table holds for `rdev`; fifos are the VFS's pipes
        (`vfs.pipe`). A type with regular files overrides this for them.

        Errors: ENXIO for a socket or a number without a driver; EINVAL for a kind that the type cannot open; the driver's.
        """
        mode = self.mode
        if stat.S_ISDIR(mode):
            from vfs.directory_file import DirectoryFile

            return DirectoryFile(location, flags, creds)
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            from vfs.device import DeviceKind, DeviceNumber
            from vfs.device_file import DeviceFile

            kind = DeviceKind.CHARACTER if stat.S_ISCHR(mode) else DeviceKind.BLOCK
            device = self.fs.vfs.devices.open(kind, DeviceNumber.of_rdev(self.rdev), flags)
            return DeviceFile(location, flags, creds, device)
        if stat.S_ISFIFO(mode):
            return self.fs.vfs.pipes.open(location, flags, creds)
        raise error(errno.ENXIO if stat.S_ISSOCK(mode) else errno.EINVAL)

    def open_path(self, location: VirtualDentry, flags: int, creds: Credentials) -> File:
        """Open with O_PATH, which needs no access: a place and no more. A type whose files go with their last open file
        overrides this.
        """
        from vfs.file import File

        return File(location, flags, creds)

    # extended attributes (xattr(7)); name spaces and access have been checked

    def get_xattr(self, name: str) -> bytes:
        """Errors: ENOTSUP here; ENODATA for a missing attribute."""
        raise error(errno.ENOTSUP, name)

    def set_xattr(self, name: str, value: bytes, flags: int) -> None:
        """Set an attribute; XATTR_CREATE and XATTR_REPLACE as in setxattr(2).

        Errors: ENOTSUP here; EEXIST, ENODATA by flags; ENOSPC.
        """
        raise error(errno.ENOTSUP, name)

    def list_xattr(self) -> list[str]:
        """All names; empty for a type without attributes."""
        return []

    def remove_xattr(self, name: str) -> None:
        """Errors: ENOTSUP here; ENODATA for a missing attribute."""
        raise error(errno.ENOTSUP, name)
