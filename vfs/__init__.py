"""A virtual file system in userspace: paths, permissions, mounts and devices as Linux has them, in memory.

It knows no container, host or accelerator, and imports the standard library alone. Errors are plain `OSError` with the
errno that Linux would give.

Object model, from the outside in:

* `VirtualFilesystem` owns the registered file system types, the device table and the lock. Its methods have the shape of
  system calls: they take `Credentials`, a `PathOperation` (root, start, path, follow) and one options record.
* `MountNamespace` is a tree of `Mount`; a mount shows a `Filesystem`, or a part of it, at a place. Namespaces are copied, pivoted
  and released; the VFS has no processes, and tells whoever keeps roots and working directories where these are afterwards
  (`NamespaceCopy.moved`, `Pivot.moved`).
* `VirtualDentry` is a place: a mount and a `Dentry`. Roots, working directories and the results of walks are these.
* `Dentry` is a cached name, `Inode` the file behind it; a `FilesystemType` brings its own inodes. `vfs.dcache` changes both
  together. `File` is an open file.

Besides the tree there are `vfs.locks` (fcntl and flock: `VirtualFilesystem.locks`), `vfs.inotify` (`Inotify(vfs)`), and `vfs.task`
(`VirtualFilesystem.tasks`: who proc, control groups and fuse servers are told of), each of which costs nothing where it is not used.

What a process has and this has not is the caller's: the umask (modes come with it applied), the table of descriptors, the working
directory, limits. A `File` of O_PATH, or of any directory, is a place to start from: `file.location`. Of the settings of
proc_sys_fs(5), protected_hardlinks is 1; protected_symlinks, protected_fifos and protected_regular are 0. There are no access
control lists, no flags of files (FS_IOC_SETFLAGS), no leases and no quotas by user.

A tree can also be somebody else's: `vfs.fs.hostfs` shows the machine's files, `vfs.fs.fuse` what a FUSE server at the other end of
a socket holds; `vfs.fuse` is the wire format of the latter.

Concurrency: any number of threads may use one VFS. Locks are taken in this order, and none is waited for with a later one held:

1. `VirtualFilesystem.lock`, reentrant, one a VFS: every change to trees, inodes, mounts and the data of files. Each
   `Filesystem.lock` is this one. It is taken by `with` alone: a signal's handler that raises just after `acquire` would leave it
   held for good.
2. Locks of a file system type's own (the connection of a fuse mount), for its methods alone.
3. The lock of the device table, a leaf: nothing is called with it held.

Drivers and `Filesystem.release` may be called under `VirtualFilesystem.lock` and must not wait for another thread that needs it;
nor may the server of a fuse mount, which is asked under it, need the VFS that it is mounted in.

Who waits for a file lock (`vfs.locks`) waits on a condition of `VirtualFilesystem.lock`, which is free meanwhile: it must not be held
by whoever asks to wait. Reading events (`vfs.inotify`) never waits.

Readers (walks, stat, listings of names) take no lock. They see what was before a change or what is after it, never half of it:

* a step is one dictionary read; a name that is not cached is looked up under the lock, so that it waits for a rename to end;
* what is mounted where is read under a sequence number (`vfs.mount_tree`): who steps over a mount point, or climbs from the root of
  a mount, while mounts change takes the step again under the lock. What a mount covers never shows while it moves;
* whole paths that were walked are remembered in a dictionary that every change of names, rights or mounts replaces
  (`vfs.pathcache`): a walk keeps its result in the one that it began with.

What threads do with one `File` is whole for each call by offset (pread, pwrite, O_APPEND); the position is theirs to agree on.

A walk of several steps is not one: between two of them the tree may change, as on Linux.

PYTEST_DONT_REWRITE: its asserts state its own invariants; pytest is to leave them alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfs.cloning import NamespaceCopy as NamespaceCopy
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
    from vfs.pivoting import Pivot as Pivot
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
    "NamespaceCopy": "cloning",
    "OpenDevice": "device",
    "OpenOptions": "options",
    "PathOperation": "resolve",
    "Pivot": "pivoting",
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
