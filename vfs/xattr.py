"""Extended attributes: which names there are, and who may use them (xattr(7); fs/xattr.c and security/commoncap.c of Linux).

Four name spaces are known:

* user.*, for regular files and directories, by their permission bits;
* trusted.*, for whoever has CAP_SYS_ADMIN, and hidden from others;
* security.*, which anybody reads and CAP_SYS_ADMIN writes. security.capability is CAP_SETFCAP's, and must look like one
  (capabilities(7), "File capabilities"); it goes when the contents or the owner of a file change. What it grants is not
  applied: nothing is executed here;
* system.*, of which access control lists are the only use: there are none, so that every name is ENOTSUP.
"""

from __future__ import annotations

import errno
import stat
import struct
from typing import TYPE_CHECKING, Final

from vfs import dcache
from vfs.abi import MAY_READ, MAY_WRITE, XATTR_CREATE, XATTR_NAME_MAX, XATTR_REPLACE, XATTR_SIZE_MAX
from vfs.credentials import Capability, is_owner
from vfs.errors import error
from vfs.path import byte_length

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.inode import Inode
    from vfs.mount import Mount

CAPABILITY: Final = "security.capability"
_HANDLED: Final = frozenset({"security", "trusted", "user"})
# struct vfs_cap_data of version 2, and vfs_ns_cap_data of version 3, which ends with the user id of a name space's root.
_CAPABILITY_SIZES: Final = {0x0200_0000: 20, 0x0300_0000: 24}
_REVISION_MASK: Final = 0xFF00_0000


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
    _check_handled(inode, name)
    value = inode.get_xattr(name)
    if name == CAPABILITY and not _is_capability(value):
        raise error(errno.EINVAL, name)
    return value


def set_value(creds: Credentials, mount: Mount, inode: Inode, name: str, value: bytes, flags: int) -> None:
    """See `VirtualFilesystem.setxattr_at`; `check_set` has passed."""
    mount.check_writable()
    if name == CAPABILITY and value:
        if not _is_capability(value):
            raise error(errno.EINVAL, name)
        if not creds.has(Capability.SETFCAP):
            raise error(errno.EPERM, name)
    _check_access(creds, inode, name, MAY_WRITE)
    if name.startswith("security.") and name != CAPABILITY and not creds.has(Capability.SYS_ADMIN):
        raise error(errno.EPERM, name)
    _check_handled(inode, name)
    inode.set_xattr(name, value, flags)
    dcache.look_again(inode)


def remove(creds: Credentials, mount: Mount, inode: Inode, name: str) -> None:
    """See `VirtualFilesystem.removexattr_at`."""
    mount.check_writable()
    _check_access(creds, inode, name, MAY_WRITE)
    if name.startswith("security."):
        wanted = Capability.SETFCAP if name == CAPABILITY else Capability.SYS_ADMIN
        if not creds.has(wanted):
            raise error(errno.EPERM, name)
    _check_handled(inode, name)
    inode.remove_xattr(name)
    dcache.look_again(inode)


def names(creds: Credentials, inode: Inode) -> list[str]:
    """See `VirtualFilesystem.listxattr_at`."""
    privileged = creds.has(Capability.SYS_ADMIN) or inode.fs.takes_every_xattr
    return [name for name in inode.list_xattr() if privileged or not name.startswith("trusted.")]


def _is_capability(value: bytes) -> bool:
    if len(value) < 4:
        return False
    (header,) = struct.unpack_from("<I", value)
    return _CAPABILITY_SIZES.get(header & _REVISION_MASK) == len(value)


def _check_access(creds: Credentials, inode: Inode, name: str, mask: int) -> None:
    """xattr_permission() of Linux."""
    if name.startswith(("security.", "system.")):
        return
    refused = errno.EPERM if mask == MAY_WRITE else errno.ENODATA
    if name.startswith("trusted."):
        if not creds.has(Capability.SYS_ADMIN):
            raise error(refused, name)
        return
    if name.startswith("user."):
        if not (stat.S_ISREG(inode.mode) or stat.S_ISDIR(inode.mode)):
            raise error(refused, name)
        sticky = stat.S_ISDIR(inode.mode) and inode.mode & stat.S_ISVTX
        if mask == MAY_WRITE and sticky and not is_owner(creds, inode):
            raise error(errno.EPERM, name)
    inode.check_access(creds, mask)


def _check_handled(inode: Inode, name: str) -> None:
    """xattr_resolve_name() of Linux."""
    if inode.fs.takes_every_xattr:
        return
    space, dot, rest = name.partition(".")
    if not dot or space not in _HANDLED:
        raise error(errno.ENOTSUP, name)
    if not rest:
        raise error(errno.EINVAL, name)
