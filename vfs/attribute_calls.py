"""The calls of `VirtualFilesystem` about attributes that stat(2) does not know: statx(2) and extended ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vfs import statx, xattr
from vfs.abi import STATX_BASIC_STATS, STATX_BTIME
from vfs.resolve import resolve

if TYPE_CHECKING:
    import threading

    from vfs.credentials import Credentials
    from vfs.pathcache import PathCache
    from vfs.resolve import PathOperation
    from vfs.statx import Statx


class AttributeCalls:
    """A part of `VirtualFilesystem`, which owns what is declared here."""

    lock: threading.RLock
    path_cache: PathCache

    def statx_at(self, creds: Credentials, op: PathOperation, mask: int = STATX_BASIC_STATS | STATX_BTIME) -> Statx:
        """statx(2): the attributes of stat(2) whatever `mask` says, the others as it asks and the type knows.

        Errors: EINVAL for a reserved mask.
        """
        statx.check_mask(mask)
        place = resolve(self.path_cache, creds, op)
        return statx.of_place(place, place.dentry.inode.stat(), mask)

    def getxattr_at(self, creds: Credentials, op: PathOperation, name: str) -> bytes:
        """getxattr(2).

        Errors: ENODATA, also for trusted.* without CAP_SYS_ADMIN; ENOTSUP; ERANGE for a bad name; EACCES.
        """
        xattr.check_name(name)
        return xattr.get(creds, resolve(self.path_cache, creds, op).dentry.inode, name)

    def setxattr_at(self, creds: Credentials, op: PathOperation, name: str, value: bytes, flags: int = 0) -> None:
        """setxattr(2).

        Errors: EEXIST, ENODATA by XATTR_CREATE and XATTR_REPLACE; EPERM; ENOTSUP; ERANGE; E2BIG; EACCES; ENOSPC.
        """
        xattr.check_set(name, value, flags)
        with self.lock:
            mount, dentry = resolve(self.path_cache, creds, op)
            xattr.set_value(creds, mount, dentry.inode, name, value, flags)
            dentry.inode.fs.watches.attributes(dentry)

    def listxattr_at(self, creds: Credentials, op: PathOperation) -> list[str]:
        """listxattr(2); trusted.* is shown to CAP_SYS_ADMIN only."""
        return xattr.names(creds, resolve(self.path_cache, creds, op).dentry.inode)

    def removexattr_at(self, creds: Credentials, op: PathOperation, name: str) -> None:
        """removexattr(2).

        Errors: ENODATA; EPERM; ENOTSUP; ERANGE; EACCES.
        """
        xattr.check_name(name)
        with self.lock:
            mount, dentry = resolve(self.path_cache, creds, op)
            xattr.remove(creds, mount, dentry.inode, name)
            dentry.inode.fs.watches.attributes(dentry)
