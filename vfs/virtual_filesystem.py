"""The front of the house: file system types, devices, namespaces, and calls in the shape of system calls."""

from __future__ import annotations

import errno
import itertools
import stat
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from vfs import atime, mount_tree, namei, opening
from vfs.abi import MAY_EXEC, MAY_READ, MAY_WRITE
from vfs.attribute_calls import AttributeCalls
from vfs.dentry import DEAD, ODD_CALLER
from vfs.device import AnonymousDevices, DeviceTable
from vfs.errors import error
from vfs.filesystem import FilesystemTypes
from vfs.locks import Locks
from vfs.mount_calls import MountCalls
from vfs.mount_tree import MountChanges
from vfs.options import MkdirOptions, MknodOptions, MountFlags, OpenOptions, RenameOptions, SetStat
from vfs.pathcache import PathCache
from vfs.pipe import Pipes
from vfs.propagation import GroupIds
from vfs.resolve import PathOperation, resolve
from vfs.task import Tasks
from vfs.watches import Watches

if TYPE_CHECKING:
    import os

    from vfs.credentials import Credentials
    from vfs.dentry import Dentry
    from vfs.file import File
    from vfs.filesystem import FilesystemType, StatFilesystem
    from vfs.mount import Mount, VirtualDentry

_NOT_AT_ONCE = DEAD | ODD_CALLER
_MKDIR = MkdirOptions()
_OPEN = OpenOptions()
_RENAME = RenameOptions()


class VirtualFilesystem(AttributeCalls, MountCalls):
    """One world of mounts, devices and file systems; worlds know nothing of each other.

    Methods that end in `_at` are the system calls of that name, with the caller's credentials given; the umask has been
    applied to modes. Besides what each names, all raise what resolution does: ENOENT, ENOTDIR, EACCES, ELOOP,
    ENAMETOOLONG. Calls that change something raise EROFS on a read-only mount.

    `tasks` are the processes that it is told of. `shared` is what all mounts of a file system type have in common, by its name.

    `lock` guards every change; calls take it themselves. It is reentrant. The calls about mounts are those of `MountCalls`, those about
    attributes that stat(2) does not know of `AttributeCalls`.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.path_cache = PathCache()
        self.devices = DeviceTable()
        self.anonymous_devices = AnonymousDevices()
        self.filesystem_types = FilesystemTypes()
        self.pipes = Pipes()
        self.watches = Watches()
        self.locks = Locks(threading.Condition(self.lock))
        self.tasks = Tasks(self.lock)
        self.shared: dict[str, object] = {}
        self.mountpoints: dict[Dentry, list[Mount]] = {}
        self.mount_changes = MountChanges(self)
        self.expiring: set[Mount] = set()
        self.group_ids = GroupIds()
        self._mount_ids = itertools.count(1)

    def next_mount_id(self) -> int:
        """A mount id never used before."""
        return next(self._mount_ids)

    def register_filesystem_type(
        self, filesystem_type: FilesystemType, *, allow_user_mount: bool = True, allow_user_list: bool = True
    ) -> None:
        """Make a type known (S1).

        Errors: ValueError if its name is taken.
        """
        self.filesystem_types.register(
            filesystem_type, allow_user_mount=allow_user_mount, allow_user_list=allow_user_list
        )

    # looking

    def get_dentry_at(self, creds: Credentials, op: PathOperation) -> VirtualDentry:
        """The place that a path names."""
        return resolve(self.path_cache, creds, op)

    def stat_at(self, creds: Credentials, op: PathOperation) -> os.stat_result:
        """stat(2), or lstat(2) if the operation does not follow."""
        found = self.path_cache.entries.get((creds, op.root, op.start, op.path, op.follow_final_symlink))
        if found is None or found[1].odd & _NOT_AT_ONCE:
            found = resolve(self.path_cache, creds, op)
        return found[1].inode.stat()

    def access_at(self, creds: Credentials, op: PathOperation, mask: int) -> None:
        """access(2) for MAY_READ | MAY_WRITE | MAY_EXEC, with the credentials given; 0 asks for existence.

        Errors: EACCES, also for executing a regular file of a noexec mount; EROFS.
        """
        mount, dentry = resolve(self.path_cache, creds, op)
        inode = dentry.inode
        if mask & MAY_EXEC and stat.S_ISREG(inode.mode) and MountFlags.NOEXEC in mount.flags:
            raise error(errno.EACCES, op.path)
        inode.access(creds, mask)
        if mask & MAY_WRITE and stat.S_IFMT(inode.mode) in {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}:
            mount.check_writable()

    def readlink_at(self, creds: Credentials, op: PathOperation) -> str:
        """readlink(2); the final link is never followed.

        Errors: EINVAL for a file that is no link, ENOENT if an empty path names it.
        """
        mount, dentry = resolve(self.path_cache, creds, replace(op, follow_final_symlink=False))
        if not op.path and not stat.S_ISLNK(dentry.inode.mode):
            raise error(errno.ENOENT)
        target = dentry.inode.readlink()
        atime.touch(dentry.inode, mount.bits)
        return target

    def listdir_at(self, creds: Credentials, op: PathOperation) -> list[str]:
        """The names in a directory, as os.listdir gives them: without "." and "..", in the type's order.

        Errors: ENOTDIR; EACCES for a directory that may not be read.
        """
        mount, dentry = resolve(self.path_cache, creds, op)
        inode = dentry.inode
        if not stat.S_ISDIR(inode.mode):
            raise error(errno.ENOTDIR, op.path)
        inode.check_access(creds, MAY_READ)
        names = inode.names()
        atime.touch(inode, mount.bits, atime.NO_ATIME_OF_DIRECTORY)
        return names

    def statfs_at(self, creds: Credentials, op: PathOperation) -> StatFilesystem:
        """statfs(2).

        Errors: ENOSYS from a type that does not tell.
        """
        return resolve(self.path_cache, creds, op).mount.fs.statfs()

    def path_from(self, root: VirtualDentry, location: VirtualDentry) -> str | None:
        """The path from a root to a place, or None if none leads there (getcwd(2))."""
        with self.lock:
            return mount_tree.path_from(root, location)

    # files and names

    def open_at(self, creds: Credentials, op: PathOperation, options: OpenOptions = _OPEN) -> File:
        """open(2). O_NOFOLLOW and O_EXCL overrule the operation's own following.

        Errors: EACCES, also for a device node of a nodev mount; EEXIST; EISDIR; ELOOP for a link not followed; EINVAL;
        ENXIO for a socket, a device without a driver, a fifo without a reader; EPERM for O_NOATIME of somebody else's
        file; EOPNOTSUPP for O_TMPFILE; ENOSPC.
        """
        with self.lock:
            return opening.open_file(self.path_cache, creds, op, options)

    def mkdir_at(self, creds: Credentials, op: PathOperation, options: MkdirOptions = _MKDIR) -> None:
        """mkdir(2).

        Errors: EEXIST; ENOENT below a removed directory; EACCES; ENOSPC; the type's own.
        """
        with self.lock:
            namei.mkdir(self.path_cache, creds, op, options)

    def mknod_at(self, creds: Credentials, op: PathOperation, options: MknodOptions) -> None:
        """mknod(2): regular files, devices, fifos, sockets.

        Errors: EEXIST; EPERM for devices without CAP_MKNOD (a character device 0:0 needs none) and for directories; EINVAL
        for other types; EACCES; ENOSPC; the type's own.
        """
        with self.lock:
            namei.mknod(self.path_cache, creds, op, options)

    def symlink_at(self, creds: Credentials, op: PathOperation, target: str) -> None:
        """symlink(2).

        Errors: EEXIST; ENOENT for an empty target; EACCES; ENOSPC.
        """
        with self.lock:
            namei.symlink(self.path_cache, creds, op, target)

    def link_at(self, creds: Credentials, old: PathOperation, new: PathOperation) -> None:
        """link(2): one more name for `old`, which is followed if its operation says so.

        Errors: EEXIST; EXDEV across mounts; EPERM for directories, and for files that the caller neither owns nor could use;
        EACCES; EMLINK.
        """
        with self.lock:
            namei.link(self.path_cache, creds, old, new)

    def link_file_at(self, creds: Credentials, file: File, new: PathOperation) -> None:
        """linkat(2) with AT_EMPTY_PATH: a name for an open file, also for one that O_TMPFILE made, unless it has O_EXCL. What
        linkat does with /proc/self/fd/N, which asks for no credentials, is `link_at` of `resolve.at(file.location)`.

        Errors: as `link_at`; ENOENT for a file that lost its last name, or whose opener had other credentials, without
        CAP_DAC_READ_SEARCH; EBADF.
        """
        with self.lock:
            namei.link_file(self.path_cache, creds, file, new)

    def unlink_at(self, creds: Credentials, op: PathOperation) -> None:
        """unlink(2).

        Errors: EISDIR; EBUSY for a mount point; EACCES; EPERM in a sticky directory.
        """
        with self.lock:
            namei.unlink(self.path_cache, creds, op)

    def rmdir_at(self, creds: Credentials, op: PathOperation) -> None:
        """rmdir(2).

        Errors: ENOTDIR; ENOTEMPTY; EBUSY for a mount point or the root; EINVAL for "."; EACCES; EPERM.
        """
        with self.lock:
            namei.rmdir(self.path_cache, creds, op)

    def rename_at(
        self, creds: Credentials, old: PathOperation, new: PathOperation, options: RenameOptions = _RENAME
    ) -> None:
        """renameat2(2), with RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT or no flag.

        Errors: EXDEV across mounts; EBUSY for mount points, "." and ".."; EEXIST; EINVAL for other flags, for RENAME_EXCHANGE
        with another, for flags that the type does not know, and for a directory moved into itself; ENOENT; ENOTEMPTY; ENOTDIR;
        EISDIR; EACCES; EPERM.
        """
        with self.lock:
            namei.rename(self.path_cache, creds, old, new, options)

    def set_stat_at(self, creds: Credentials, op: PathOperation, changes: SetStat) -> None:
        """chmod, chown, truncate and utimensat(2).

        Errors: EPERM, EACCES; EISDIR and EINVAL for the size of what is no regular file; EOPNOTSUPP for the mode of a link.
        """
        with self.lock:
            namei.set_stat(self.path_cache, creds, op, changes)

    def mkdir_all_at(
        self, creds: Credentials, op: PathOperation, mode: int = 0o777, *, must_be_dir: bool = True
    ) -> None:
        """Make a directory and its missing parents. What exists stays as it is.

        Errors: ENOTDIR for a parent that is no directory, or for the target if it must be one; as `mkdir_at`.
        """
        with self.lock:
            namei.mkdir_all(self.path_cache, creds, op, mode, must_be_dir=must_be_dir)
