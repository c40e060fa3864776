"""One tree of the machine, and the type that all of them share."""

from __future__ import annotations

import errno
import itertools
import os
import stat
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from vfs.dentry import Dentry
from vfs.errors import error
from vfs.filesystem import Filesystem, FilesystemType, StatFilesystem
from vfs.fs.hostfs.descriptors import Descriptors
from vfs.fs.hostfs.directory import HostDirectory
from vfs.fs.hostfs.inode import HostInode
from vfs.fs.hostfs.options import HostfsOptions
from vfs.fs.static import OpenDirectory, StaticFile, Synthetic
from vfs.options import MountOptions, mount_data

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.inode import Inode
    from vfs.virtual_filesystem import VirtualFilesystem

# HOSTFS_SUPER_MAGIC of Linux, whose user mode port has the same idea (fs/hostfs).
_MAGIC: Final = 0x00C0_FFEE
_SYNTHETIC_INO: Final = 1 << 60
_DEVICE_SHIFT: Final = 48


class HostfsType(FilesystemType):
    """Registers as "hostfs"; needs `HostfsOptions`. All its mounts share one budget of descriptors."""

    name = "hostfs"

    def __init__(self) -> None:
        self._descriptors = Descriptors()

    def get_filesystem(
        self, vfs: VirtualFilesystem, creds: Credentials, source: str, options: MountOptions
    ) -> HostFilesystem:
        """Errors: EINVAL without `HostfsOptions` or with text options; EBADF; EMFILE."""
        if not isinstance(options.internal, HostfsOptions) or next(mount_data(options.data), None) is not None:
            raise error(errno.EINVAL)
        return HostFilesystem(vfs, options.internal, self._descriptors)


class HostFilesystem(Filesystem):
    """A tree of the machine.

    `last_found` is the file that a walk has found last, and whose attributes nobody has asked for since.

    Invariant: `_inodes` has every live inode of the tree under its device and inode number, and no number twice.
    """

    def __init__(self, vfs: VirtualFilesystem, options: HostfsOptions, descriptors: Descriptors) -> None:
        super().__init__(vfs, HostfsType.name)
        self.writable = options.writable
        self.recursive = options.recursive
        self.fifos = options.fifos
        self.character_devices = options.character_devices
        self.devices = options.devices
        self.exclusive = options.exclusive
        self.revalidates = not options.exclusive
        self.calls = options.calls
        self.descriptors = descriptors
        self.synthetic_inos = itertools.count(_SYNTHETIC_INO)
        self._inodes: WeakValueDictionary[tuple[int, int], HostInode] = WeakValueDictionary()
        self.last_found: HostInode | None = None
        self._hidden: dict[tuple[int, int], Inode] = {}
        self._devices: dict[int, int] = {}
        self.root_fd = descriptors.with_room(lambda: os.dup(options.root_fd))
        self.root = Dentry("", None, self._new_inode(None, "", os.fstat(self.root_fd)))
        self.last_found = None

    def inode_of(self, parent: HostDirectory, name: str, found: os.stat_result) -> Inode:
        """The inode of what was found at a name: the one that is known, brought up to date, or a new one."""
        if found.st_dev != parent.device and not self.recursive and self._is_mounted(parent, name):
            return self._hidden_inode(found)
        inode = self._inodes.get((found.st_dev, found.st_ino))
        if inode is None or stat.S_IFMT(inode.mode) != stat.S_IFMT(found.st_mode):
            return self._new_inode(parent, name, found)
        inode.move_to(parent, name)
        inode.refresh(found)
        self.last_found = inode
        return inode

    def _is_mounted(self, parent: HostDirectory, name: str) -> bool:
        """Whether what has a device of its own is a mount. It need not be: an overlay shows the files of a layer on another
        file system with a device number for that layer (overlayfs.rst, "Inode properties").
        """
        fd = self.descriptors.with_room(
            lambda: os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.descriptors.get(parent))
        )
        try:
            return _mount_id(fd) != _mount_id(self.root_fd)
        finally:
            os.close(fd)

    def _new_inode(self, parent: HostDirectory | None, name: str, found: os.stat_result) -> HostInode:
        kind = HostDirectory if stat.S_ISDIR(found.st_mode) else HostInode
        inode = kind(self, self.ino_on(found.st_dev, found.st_ino), found, parent, name)
        self.add(inode)
        self.last_found = inode
        return inode

    def _hidden_inode(self, found: os.stat_result) -> Inode:
        """What stands for the file under a mount: empty, and otherwise as its cover looks, which is all that can be seen."""
        inode = self._hidden.get((found.st_dev, found.st_ino))
        if inode is None:
            mode = stat.S_IMODE(found.st_mode)
            if stat.S_ISDIR(found.st_mode):
                inode = OpenDirectory(
                    self, self.ino_on(found.st_dev, found.st_ino), mode, self.synthetic_inos, errno.EROFS
                )
            else:
                inode = StaticFile(self, self.ino_on(found.st_dev, found.st_ino), Synthetic(stat.S_IFREG | mode))
            inode.uid, inode.gid = found.st_uid, found.st_gid
            self._hidden[found.st_dev, found.st_ino] = inode
        return inode

    def add(self, inode: HostInode) -> None:
        """Know a file by its numbers on the machine."""
        self._inodes[inode.device, inode.host_ino] = inode

    def ino_on(self, device: int, ino: int) -> int:
        """The machine's inode number, made unlike those of other devices that are mounted inside the tree."""
        index = self._devices.setdefault(device, len(self._devices))
        return ino ^ (index << _DEVICE_SHIFT)

    def check_writable(self) -> None:
        """Errors: EROFS."""
        if not self.writable:
            raise error(errno.EROFS)

    def statfs(self) -> StatFilesystem:
        """The room on the device that holds the root."""
        found = os.fstatvfs(self.root_fd)
        return StatFilesystem(
            _MAGIC,
            found.f_frsize,
            found.f_blocks,
            found.f_bfree,
            found.f_bavail,
            found.f_files,
            found.f_ffree,
            found.f_namemax,
        )

    def release(self) -> None:
        """Close every descriptor."""
        self.descriptors.forget(self)
        root_fd, self.root_fd = self.root_fd, -1
        # Who looks at a place kept from before, or walked here while it went, shall not find what gets this number next.
        os.close(root_fd)


def _mount_id(fd: int) -> str:
    """The mount that a descriptor leads to (proc_pid_fdinfo(5))."""
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as lines:
        return next(line for line in lines if line.startswith("mnt_id:"))
