"""Extended attributes: which names there are, and who may use them (xattr(7)).

Two name spaces are known: user.*, for regular files and directories, and trusted.*, for whoever has CAP_SYS_ADMIN.
"""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING

from vfs.abi import MAY_READ, MAY_WRITE, XATTR_CREATE, XATTR_NAME_MAX, XATTR_REPLACE, XATTR_SIZE_MAX
from vfs.credentials import Capability, is_owner
from vfs.errors import error
from vfs.path import byte_length

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.inode import Inode
    from vfs.mount import VirtualDentry


def check_name(name: str) -> None:
    """Errors: ERANGE for an empty or too long name."""
    if not 0 < byte_length(name) <= XATTR_NAME_MAX:
        raise error(errno.ERANGE, name)


def check_set(name: str, value: bytes, flags: int) -> None:
    """What setxattr(2) refuses before it looks for the file.

    Errors: EINVAL, ERANGE, E2BIG.
    """
    if flags & ~(XATTR_CREATE | XATTR_REPLACE):
        raise error(errno.EINVAL, name)
    check_name(name)
    if len(value) > XATTR_SIZE_MAX:
        raise error(errno.E2BIG, name)


def get(creds: Credentials, inode: Inode, name: str) -> bytes:
    """See `VirtualFilesystem.getxattr_at`."""
    _check_access(creds, inode, name, MAY_READ)
    return inode.get_xattr(name)


def set_value(creds: Credentials, location: VirtualDentry, name: str, value: bytes, flags: int) -> None:
    """See `VirtualFilesystem.setxattr_at`."""
    location.mount.check_writable()
    inode = location.dentry.inode
    _check_access(creds, inode, name, MAY_WRITE)
    inode.set_xattr(name, value, flags)


def remove(creds: Credentials, location: VirtualDentry, name: str) -> None:
    """See `VirtualFilesystem.removexattr_at`."""
    location.mount.check_writable()
    inode = location.dentry.inode
    _check_access(creds, inode, name, MAY_WRITE)
    inode.remove_xattr(name)


def names(creds: Credentials, inode: Inode) -> list[str]:
    """See `VirtualFilesystem.listxattr_at`."""
    privileged = creds.has(Capability.SYS_ADMIN)
    return [name for name in inode.list_xattr() if privileged or not name.startswith("trusted.")]


def _check_access(creds: Credentials, inode: Inode, name: str, mask: int) -> None:
    refused = errno.EPERM if mask == MAY_WRITE else errno.ENODATA
    space, _, rest = name.partition(".")
    if space == "trusted":
        if not creds.has(Capability.SYS_ADMIN):
            raise error(refused, name)
    elif space == "user":
        if not (stat.S_ISREG(inode.mode) or stat.S_ISDIR(inode.mode)):
            raise error(refused, name)
        sticky = stat.S_ISDIR(inode.mode) and inode.mode & stat.S_ISVTX
        if mask == MAY_WRITE and sticky and not is_owner(creds, inode):
            raise error(errno.EPERM, name)
    if space != "trusted":
        inode.check_access(creds, mask)
    if space not in {"trusted", "user"}:
        raise error(errno.ENOTSUP, name)
    if not rest:
        raise error(errno.EINVAL, name)
