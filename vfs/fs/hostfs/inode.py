"""A file of the machine."""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import TYPE_CHECKING

from vfs.device import DeviceKind, DeviceNumber
from vfs.fs.hostfs.options import CharacterDevices
from vfs.fs.static import SyntheticParent

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.file import File
    from vfs.fs.hostfs.directory import HostDirectory
    from vfs.fs.hostfs.filesystem import HostFilesystem
    from vfs.mount import VirtualDentry
    from vfs.options import SetStat


class HostInode(SyntheticParent):
    """A file of the machine: attributes as they were last seen, and the way back to it.

    `fresh` says that nothing was done since that changes them; it counts where nobody else changes the tree.

    Invariant: `parent` and `name` are where it was last found; the root has no parent, and the file system's descriptor.
    `others` are more names of a file that is no directory, kept where walks do not find them anew.
    """

    __slots__ = ("__weakref__", "blocks", "device", "fresh", "host_ino", "name", "open_fds", "others", "parent")

    fs: HostFilesystem  # type: ignore[mutable-override]  # an inode never changes its file system

    def __init__(
        self, fs: HostFilesystem, ino: int, found: os.stat_result, parent: HostDirectory | None, name: str
    ) -> None:
        super().__init__(fs, ino, found.st_mode, found.st_uid, found.st_gid)
        self.device = found.st_dev
        self.host_ino = found.st_ino
        self.parent = parent
        self.name = name
        self.open_fds: tuple[int, ...] = ()
        self.others: tuple[tuple[HostDirectory, str], ...] = ()
        self.refresh(found)

    @property
    def root_fd(self) -> int:
        """The descriptor of the tree's root."""
        return self.fs.root_fd

    def refresh(self, found: os.stat_result) -> None:
        """Take over attributes from the machine."""
        self.mode = found.st_mode
        self.uid = found.st_uid
        self.gid = found.st_gid
        self.nlink = found.st_nlink
        self.rdev = found.st_rdev
        self.size = found.st_size
        self.blocks = found.st_blocks
        self.atime_ns = found.st_atime_ns
        self.mtime_ns = found.st_mtime_ns
        self.ctime_ns = found.st_ctime_ns
        self.fresh = True

    def is_file(self, found: os.stat_result) -> bool:
        """Whether what was found is this file, and not a later one that was given its number."""
        same = (found.st_dev, found.st_ino) == (self.device, self.host_ino)
        return same and stat.S_IFMT(found.st_mode) == stat.S_IFMT(self.mode)

    def move_to(self, parent: HostDirectory, name: str) -> None:
        """Note where the file was found last."""
        if self.parent is not None and not (parent is self.parent and name == self.name):
            if self.fs.exclusive and self.name and not stat.S_ISDIR(self.mode):
                self.others = (*self.others, (self.parent, self.name))
            self.parent, self.name = parent, name

    def lose(self, parent: HostDirectory, name: str) -> None:
        """Note that a name is gone: where there is another, the file is found by that."""
        self.fresh = False
        self.others = tuple(each for each in self.others if each != (parent, name))
        if parent is self.parent and name == self.name:
            (self.parent, self.name), self.others = (
                (self.others[-1], self.others[:-1]) if self.others else ((parent, ""), ())
            )

    def set_atime(self, now: int) -> None:
        """The machine keeps the times at which its files were looked at."""
        self.fresh = False

    def stat(self) -> os.stat_result:
        """The attributes of this moment; those last seen if the name is gone, as for a file still open."""
        if self.fresh and self.fs.exclusive:
            return self.stat_result(self.blocks)
        self.fs.last_found = None
        with self.fs.lock:
            try:
                found = self._look()
            except OSError:
                return self.stat_result(self.blocks)
            if not self.is_file(found) and self.open_fds:
                found = os.fstat(self.open_fds[-1])
            if self.is_file(found):
                self.refresh(found)
            return self.stat_result(self.blocks)

    def check_access(self, creds: Credentials, mask: int) -> None:
        """See `Inode.check_access`. A walk brings every file up to date but the one where it begins."""
        fs = self.fs
        if fs.last_found is self:
            fs.last_found = None
        elif not fs.exclusive:
            self.stat()
        super().check_access(creds, mask)

    def _look(self) -> os.stat_result:
        if self.parent is None:
            return os.fstat(self.root_fd)
        try:
            return os.stat(self.name, dir_fd=self.fs.descriptors.get(self.parent), follow_symlinks=False)
        except OSError:
            if self.open_fds:
                return os.fstat(self.open_fds[-1])
            raise

    def descriptor(self) -> int:
        """An O_PATH descriptor, or that of an open file, good until the next call; the lock of the VFS is held meanwhile.

        Errors: ESTALE, ENOENT for a file that has lost its name and is not open; EACCES.
        """
        try:
            return self.fs.descriptors.get(self)
        except OSError as problem:
            if self.open_fds and problem.errno in {errno.ENOENT, errno.ESTALE, errno.ENOTDIR}:
                return self.open_fds[-1]
            raise

    def link_path(self) -> str:
        """A path that means exactly the file that `descriptor` holds, for calls that take no O_PATH descriptor (proc(5))."""
        return f"/proc/self/fd/{self.descriptor()}"

    def birth_ns(self) -> int | None:
        """When the machine made it, if `HostCalls` can tell."""
        if self.fs.calls is None:
            return None
        with self.fs.lock:
            return self.fs.calls.birth_ns(self.descriptor())

    def is_opened(self, fd: int) -> None:
        """A descriptor of it is kept by an open file: it leads to the file also when no name does."""
        self.open_fds = (*self.open_fds, fd)

    def is_closed(self, fd: int) -> None:
        """That descriptor is closed next."""
        self.open_fds = tuple(each for each in self.open_fds if each != fd)
        self.fresh = False

    def readlink(self) -> str:
        """Errors: EINVAL for what is no link."""
        if not stat.S_ISLNK(self.mode):
            return super().readlink()
        with self.fs.lock:
            self.fresh = False
            return os.readlink("", dir_fd=self.descriptor())

    def open(self, location: VirtualDentry, flags: int, creds: Credentials) -> File:
        """Regular files open on the machine, and fifos and character devices if it was asked for; everything else is the VFS's
        own business.

        Errors: EROFS for writing if the machine is not to be changed; ENXIO for a fifo without a reader; ESTALE; the machine's
        own.
        """
        if stat.S_ISFIFO(self.mode) and self.fs.fifos:
            from vfs.fs.hostfs.file import HostFifo

            return HostFifo(location, flags, creds, self)
        if stat.S_ISCHR(self.mode) and self._is_passed_through():
            from vfs.device_file import DeviceFile
            from vfs.fs.hostfs.device import HostDevice

            return DeviceFile(location, flags, creds, HostDevice(self, flags))
        if not stat.S_ISREG(self.mode):
            return super().open(location, flags, creds)
        from vfs.fs.hostfs.file import HostFile

        if flags & os.O_ACCMODE != os.O_RDONLY:
            self.fs.check_writable()
        return HostFile(location, flags, creds, self)

    def _is_passed_through(self) -> bool:
        policy = self.fs.character_devices
        if policy is CharacterDevices.PREFER_EMULATED:
            return not self.fs.vfs.devices.answers(DeviceKind.CHARACTER, DeviceNumber.of_rdev(self.rdev))
        return policy is CharacterDevices.PASSTHROUGH

    def set_stat(self, changes: SetStat) -> None:
        """Change the file on the machine.

        Errors: EROFS; the machine's own.
        """
        self.fs.check_writable()
        self.apply(self.link_path(), changes)
        self.refresh(os.fstat(self.descriptor()))

    @staticmethod
    def apply(target: str | int, changes: SetStat) -> None:
        """Change what a path or a descriptor means. Errors: the machine's."""
        if changes.size is not None:
            os.truncate(target, changes.size)
        if changes.chown or changes.uid is not None or changes.gid is not None:
            os.chown(target, *(-1 if each is None else each for each in (changes.uid, changes.gid)))
        if changes.mode is not None:
            os.chmod(target, changes.mode)
        if changes.touch or (changes.atime_now and changes.mtime_now):
            os.utime(target)
            return
        now, before = time.time_ns(), os.stat(target)
        atime = now if changes.atime_now else changes.atime_ns
        mtime = now if changes.mtime_now else changes.mtime_ns
        if atime is not None or mtime is not None:
            kept = (before.st_atime_ns, before.st_mtime_ns)
            os.utime(target, ns=(kept[0] if atime is None else atime, kept[1] if mtime is None else mtime))

    # extended attributes

    def get_xattr(self, name: str) -> bytes:
        """The machine's; its errors."""
        with self.fs.lock:
            return os.getxattr(self.link_path(), name)

    def set_xattr(self, name: str, value: bytes, flags: int) -> None:
        """Errors: EROFS; the machine's own."""
        self.fs.check_writable()
        os.setxattr(self.link_path(), name, value, flags)
        self.fresh = False

    def list_xattr(self) -> list[str]:
        """The machine's names."""
        with self.fs.lock:
            return os.listxattr(self.link_path())

    def remove_xattr(self, name: str) -> None:
        """Errors: EROFS; the machine's own."""
        self.fs.check_writable()
        os.removexattr(self.link_path(), name)
        self.fresh = False
