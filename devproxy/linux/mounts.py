"""The mount API of Linux 5.2 and later: mounts are descriptors until they are moved to their place.

Named after the system calls. A descriptor of a mount behaves like one opened with O_PATH: open "." relative to it
before reading a directory.
"""

from __future__ import annotations

import os
import struct

from devproxy.linux.syscalls import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_RECURSIVE,
    FSCONFIG,
    FSMOUNT,
    FSOPEN,
    INT,
    LONG,
    MOUNT_SETATTR,
    MOVE_MOUNT,
    OPEN_TREE,
    OPEN_TREE_ATTR,
    STRING,
    check,
    encode,
    libc,
    prototype,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MS_UNBINDABLE: Final = 1 << 17
MS_PRIVATE: Final = 1 << 18
MS_SLAVE: Final = 1 << 19
MS_SHARED: Final = 1 << 20

_OPEN_TREE_CLONE = 1
_FSOPEN_CLOEXEC = 1
_FSMOUNT_CLOEXEC = 1
_FSCONFIG_SET_FLAG, _FSCONFIG_SET_STRING, _FSCONFIG_SET_FD, _FSCONFIG_CMD_CREATE = 0, 1, 5, 6
_MOVE_MOUNT_F_EMPTY_PATH, _MOVE_MOUNT_T_EMPTY_PATH = 0x4, 0x40
_MNT_DETACH = 2
# set, clear, propagation and userns_fd of struct mount_attr.
_MOUNT_ATTR = struct.Struct("=4Q")

_fsopen = prototype(STRING, INT)
_fsconfig_call = prototype(INT, INT, STRING, STRING, INT)
_fsmount = prototype(INT, INT, INT)
_open_tree = prototype(INT, STRING, INT)
_open_tree_attr = prototype(INT, STRING, INT, STRING, LONG)
_move_mount = prototype(INT, STRING, INT, STRING, INT)
_mount_setattr = prototype(INT, STRING, INT, STRING, LONG)


def fsopen(fstype: str) -> int:
    """Open a context in which a file system of `fstype` is configured (fsopen(2)). Errors: ENODEV for an unknown
    type.
    """
    return check(_fsopen(FSOPEN, encode(fstype), _FSOPEN_CLOEXEC), fstype)


def fsconfig_flag(context: int, key: str) -> None:
    """Set an option that has no value (fsconfig(2), FSCONFIG_SET_FLAG)."""
    _fsconfig(context, _FSCONFIG_SET_FLAG, key, None, 0)


def fsconfig_string(context: int, key: str, value: str) -> None:
    """Set an option (fsconfig(2), FSCONFIG_SET_STRING)."""
    _fsconfig(context, _FSCONFIG_SET_STRING, key, encode(value), 0)


def fsconfig_descriptor(context: int, key: str, descriptor: int) -> None:
    """Set an option to an open descriptor (fsconfig(2), FSCONFIG_SET_FD)."""
    _fsconfig(context, _FSCONFIG_SET_FD, key, None, descriptor)


def fsconfig_create(context: int) -> None:
    """Make the file system (fsconfig(2), FSCONFIG_CMD_CREATE)."""
    _fsconfig(context, _FSCONFIG_CMD_CREATE, "", None, 0)


def _fsconfig(context: int, command: int, key: str, value: bytes | None, number: int) -> None:
    try:
        check(_fsconfig_call(FSCONFIG, context, command, encode(key) if key else None, value, number), key or None)
    except OSError as error:
        raise OSError(error.errno, _explained(context, error), error.filename) from None


def _explained(context: int, error: OSError) -> str:
    """The errno's words, with those that the file system left in its context (fsopen(2), "Message retrieval")."""
    try:
        message = os.read(context, 4096).decode(errors="replace").strip()
    except OSError:
        message = ""
    return f"{error.strerror} ({message[2:]})" if message else str(error.strerror)


def fsmount(context: int, attributes: int) -> int:
    """The mount of a created file system, attached nowhere (fsmount(2)). `attributes` are MOUNT_ATTR_*."""
    return check(_fsmount(FSMOUNT, context, _FSMOUNT_CLOEXEC, attributes))


def clone_tree(directory: int, path: str = "", *, recursive: bool) -> int:
    """A copy of the mount at a path, attached nowhere: a bind (open_tree(2), OPEN_TREE_CLONE).

    An empty path means the descriptor itself. With `recursive`, what is mounted below comes along.
    """
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    return check(_open_tree(OPEN_TREE, directory, encode(path), flags), path or None)


def clone_with_attributes(source: int, attributes: int, clear: int) -> int:
    """`clone_tree` of a descriptor alone, with attributes changed as by `mount_setattr`: one call where the kernel has it
    and no seccomp filter forbids what is that new (open_tree_attr(2), Linux 6.15), else two.
    """
    data = _MOUNT_ATTR.pack(attributes, clear, 0, 0)
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | AT_EMPTY_PATH
    made: int = _open_tree_attr(OPEN_TREE_ATTR, source, b"", flags, data, _MOUNT_ATTR.size)
    if made >= 0:
        return made
    made = clone_tree(source, recursive=False)
    try:
        mount_setattr(made, attributes=attributes, clear=clear)
    except OSError:
        os.close(made)
        raise
    return made


def clone_path_with_attributes(path: str, attributes: int, clear: int) -> int | None:
    """`clone_with_attributes` of what is at a path, links followed. None if the one call does not do it, whatever the reason."""
    data = _MOUNT_ATTR.pack(attributes, clear, 0, 0)
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC
    made: int = _open_tree_attr(OPEN_TREE_ATTR, AT_FDCWD, encode(path), flags, data, _MOUNT_ATTR.size)
    return made if made >= 0 else None


def move_mount(mount: int, mount_point: int, name: str = "") -> None:
    """Attach the mount of a descriptor at another descriptor, or at a name in that directory, which is not followed if it is a
    link (move_mount(2)).

    Errors: EINVAL when one is a directory and the other is not, or when the kernel does not mount there (before 6.15:
    anywhere in a tree that is attached nowhere).
    """
    flags = _MOVE_MOUNT_F_EMPTY_PATH if name else _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH
    check(_move_mount(MOVE_MOUNT, mount, b"", mount_point, encode(name), flags))


def mount_setattr(
    mount: int, *, attributes: int = 0, clear: int = 0, propagation: int = 0, recursive: bool = False
) -> None:
    """Change attributes of the mount of a descriptor, all or none (mount_setattr(2)).

    Errors: EINVAL if the descriptor is not at the root of its mount; EBUSY when a mount that becomes read-only is
    being written.
    """
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    data = _MOUNT_ATTR.pack(attributes, clear, propagation, 0)
    check(_mount_setattr(MOUNT_SETATTR, mount, b"", flags, data, _MOUNT_ATTR.size))


def set_propagation_of_everything(propagation: int) -> None:
    """Set the propagation type of every mount of this namespace (mount_namespaces(7))."""
    data = _MOUNT_ATTR.pack(0, 0, propagation, 0)
    check(_mount_setattr(MOUNT_SETATTR, AT_FDCWD, b"/", AT_RECURSIVE, data, _MOUNT_ATTR.size), "/")


def detach(mount: int) -> None:
    """Take the mount of a descriptor out of the namespace (umount2(2), MNT_DETACH); who uses it goes on using it."""
    check(libc.umount2(encode(f"/proc/self/fd/{mount}"), _MNT_DETACH))


def pivot_root_here() -> None:
    """Make the current directory the root, and leave nothing of the old one (pivot_root(2), "pivot_root(".", ".")").

    Errors: EINVAL when the directory is no mount point.
    """
    check(libc.pivot_root(b".", b"."), ".")
    check(libc.umount2(b".", _MNT_DETACH), ".")


def cover_root(mount: int) -> None:
    """Attach a mount over the namespace's root directory. Nobody sees it: this process's root stays the one below."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        move_mount(mount, root)
    finally:
        os.close(root)
