"""A virtual file system in userspace: paths, permissions, mounts and devices as Linux has them, in memory.

It knows no container, host or accelerator, and imports the standard library alone. Errors are plain `OSError` with the
errno that Linux would give.

Object model, from the outside in:

* `VirtualFilesystem` owns the registered file system types, the device table and the lock. Its methods have the shape of
  system calls: they take `Credentials`, a `PathOperation` (root, start, path, follow) and one options record.
* `MountNamespace` is a tree of `Mount`; a mount shows a `Filesystem`, or a part of it, at a place.
* `VirtualDentry` is a place: a mount and a `Dentry`. Roots, working directories and the results of walks are these.
* `Dentry` is a cached name, `Inode` the file behind it; a `FilesystemType` brings its own inodes. `vfs.dcache` changes both
  together. `File` is an open file.

What a process has and this has not is the caller's: the umask (modes come with it applied), the table of descriptors, the working
directory, limits. A `File` of O_PATH, or of any directory, is a place to start from: `file.location`. Of the settings of
proc_sys_fs(5), protected_hardlinks is 1; protected_symlinks, protected_fifos and protected_regular are 0. There are no access
control lists, no flags of files (FS_IOC_SETFLAGS), no leases and no quotas by user.

Concurrency: one reentrant lock a `VirtualFilesystem` (`lock`) guards every change: to trees, inodes, mounts and the data of
files. Readers (walks, stat, listings) take no lock; they rely on single dictionary reads being atomic. The lock of the device
table is a leaf: nothing is called with it held. Drivers and `Filesystem.release` may be called under `lock` and must not wait
for another thread that needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfs.copying import copy_range as copy_range
    from vfs.credentials import ROOT as ROOT
    from vfs.credentials import Capability as Capability
    from vfs.credentials import Credentials as Credentials
    from vfs.dentry import Dentry as Dentry
    from vfs.device import DeviceKind as DeviceKind
    from vfs.device import DeviceNumber as DeviceNumber
    from vfs.device import DeviceTable as DeviceTable
    from vfs.device import Driver as Driver
    from vfs.device import OpenDevice as OpenDevice
    from vfs.device import Registration as Registration
    from vfs.file import File as File
    from vfs.filesystem import Filesystem as Filesystem
    from vfs.filesystem import FilesystemType as FilesystemType
    from vfs.filesystem import StatFilesystem as StatFilesystem
    from vfs.fs.fuse import FuseType as FuseType
    from vfs.fs.fuse.options import FuseOptions as FuseOptions
    from vfs.inode import DirectoryEntry as DirectoryEntry
    from vfs.inode import Inode as Inode
    from vfs.inotify import Inotify as Inotify
    from vfs.inotify import InotifyEvent as InotifyEvent
    from vfs.locks import FileLock as FileLock
    from vfs.locks import LockOwner as LockOwner
    from vfs.mount import Mount as Mount
    from vfs.mount import VirtualDentry as VirtualDentry
    from vfs.namespace import MountNamespace as MountNamespace
    from vfs.options import BindOptions as BindOptions
    from vfs.options import MkdirOptions as MkdirOptions
    from vfs.options import MknodOptions as MknodOptions
    from vfs.options import MountFlags as MountFlags
    from vfs.options import MountOptions as MountOptions
    from vfs.options import OpenOptions as OpenOptions
    from vfs.options import Propagation as Propagation
    from vfs.options import RenameOptions as RenameOptions
    from vfs.options import SetStat as SetStat
    from vfs.options import UmountOptions as UmountOptions
    from vfs.resolve import PathOperation as PathOperation
    from vfs.statx import Statx as Statx
    from vfs.virtual_filesystem import VirtualFilesystem as VirtualFilesystem

_HOME = {
    "ROOT": "credentials",
    "BindOptions": "options",
    "Capability": "credentials",
    "Credentials": "credentials",
    "Dentry": "dentry",
    "DeviceKind": "device",
    "DeviceNumber": "device",
    "DeviceTable": "device",
    "DirectoryEntry": "inode",
    "Driver": "device",
    "File": "file",
    "FileLock": "locks",
    "Filesystem": "filesystem",
    "FilesystemType": "filesystem",
    "FuseOptions": "fs.fuse.options",
    "FuseType": "fs.fuse",
    "Inode": "inode",
    "Inotify": "inotify",
    "InotifyEvent": "inotify",
    "LockOwner": "locks",
    "MkdirOptions": "options",
    "MknodOptions": "options",
    "Mount": "mount",
    "MountFlags": "options",
    "MountNamespace": "namespace",
    "MountOptions": "options",
    "OpenDevice": "device",
    "OpenOptions": "options",
    "PathOperation": "resolve",
    "Propagation": "options",
    "Registration": "device",
    "RenameOptions": "options",
    "SetStat": "options",
    "StatFilesystem": "filesystem",
    "Statx": "statx",
    "UmountOptions": "options",
    "VirtualDentry": "mount",
    "VirtualFilesystem": "virtual_filesystem",
    "copy_range": "copying",
}

__all__ = sorted(_HOME)  # noqa: PLE0605  # one list of names, not two


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for (PEP 562), so that `import vfs.path` costs what it needs."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"vfs.{home}"), name)
    globals()[name] = value
    return value
