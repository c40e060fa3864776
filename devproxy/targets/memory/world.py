"""The VFS that a root in memory lives in: its file system types, and what it has from the start."""

from __future__ import annotations

import errno
import os
import stat

from devproxy.targets.memory.flags import DEFAULT
from devproxy.targets.memory.sharing import hear_from_machine
from vfs.credentials import ROOT
from vfs.filesystem import FilesystemType
from vfs.fs.cgroupfs import Cgroup2Type, CgroupType
from vfs.fs.devpts import DevptsType
from vfs.fs.devtmpfs import DevtmpfsType
from vfs.fs.fuse import FuseType
from vfs.fs.hostfs import HostfsType
from vfs.fs.mqueue import MqueueType
from vfs.fs.overlay import OverlayType
from vfs.fs.proc import ProcType
from vfs.fs.static import Tree
from vfs.fs.sysfs import SysfsTree, SysfsType
from vfs.fs.tmpfs import TmpfsType
from vfs.mount import Mount, VirtualDentry
from vfs.options import MknodOptions, MountFlags, MountOptions
from vfs.resolve import PathOperation
from vfs.virtual_filesystem import VirtualFilesystem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

MOUNTABLE: Final = ("cgroup", "cgroup2", "devpts", "devtmpfs", "mqueue", "proc", "sysfs", "tmpfs")
"""The types that a plan can mount by name (S1): those that work. An overlay's layers are the machine's, so it has a verb of
its own; no bundle can name the server of a fuse mount.
"""

SUPERBLOCK_FLAGS: Final = ("sync", "async", "dirsync", "mand", "nomand", "lazytime", "nolazytime", "rw", "ro")
"""The flags that every file system takes (fs/fs_context.c, vfs_parse_sb_flag)."""

_NULL_RDEV: Final = os.makedev(1, 3)


def new_world(sysfs: SysfsTree, proc: Tree) -> VirtualFilesystem:
    """A VFS with every file system type that a root in memory uses, and what its sysfs and its proc hold."""
    vfs = VirtualFilesystem()
    types: tuple[FilesystemType, ...] = (
        CgroupType(),
        Cgroup2Type(),
        DevptsType(),
        DevtmpfsType(),
        FuseType(),
        MqueueType(),
        ProcType(proc),
        SysfsType(sysfs),
        TmpfsType(),
    )
    for filesystem_type in types:
        vfs.register_filesystem_type(filesystem_type)
    # They are listed in /proc/filesystems like the others (S1), but what they show is given by descriptors and never named.
    vfs.register_filesystem_type(HostfsType(), allow_user_mount=False)
    vfs.register_filesystem_type(OverlayType(), allow_user_mount=False)
    return vfs


def require_flags(flags: Sequence[str]) -> None:
    """Errors: EINVAL for a flag that is none of `SUPERBLOCK_FLAGS`."""
    for flag in flags:
        if flag not in SUPERBLOCK_FLAGS:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), flag)


def empty_mount(vfs: VirtualFilesystem) -> Mount:
    """A detached mount of an empty read-only directory: what hides a directory."""
    return vfs.mount_disconnected(ROOT, "tmpfs", "tmpfs", MountOptions(DEFAULT | MountFlags.RDONLY))


def null_mount(vfs: VirtualFilesystem) -> Mount:
    """A detached mount of a null device: what hides a file. It stands for the machine's own."""
    folder = vfs.mount_disconnected(ROOT, "devtmpfs", "tmpfs", MountOptions(DEFAULT, "mode=0755"))
    root = VirtualDentry(folder, folder.root)
    null = PathOperation(root, root, "null")
    vfs.mknod_at(ROOT, null, MknodOptions(stat.S_IFCHR | 0o666, _NULL_RDEV))
    mount = vfs.clone_mount(ROOT, null)
    vfs.discard_mount(folder)
    machines = os.open("/dev/null", os.O_PATH)
    try:
        hear_from_machine(mount, machines)
    finally:
        os.close(machines)
    return mount
