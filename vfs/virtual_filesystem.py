"""The front of the house: file system types, devices, namespaces, and calls in the shape of system calls."""

from __future__ import annotations

import errno
import itertools
import stat
import threading
from typing import TYPE_CHECKING

from vfs import atime, mounting, namei, opening, xattr
from vfs.abi import MAY_EXEC, MAY_READ, MAY_WRITE
from vfs.dentry import DEAD
from vfs.device import AnonymousDevices, DeviceTable
from vfs.errors import error
from vfs.filesystem import FilesystemTypes
from vfs.namespace import MountNamespace
from vfs.options import (
    NO_MOUNT_FLAGS,
    BindOptions,
    MkdirOptions,
    MknodOptions,
    MountFlags,
    MountOptions,
    OpenOptions,
    Propagation,
    RenameOptions,
    SetStat,
    UmountOptions,
)
from vfs.pathcache import PathCache
from vfs.pipe import Pipes
from vfs.propagation import GroupIds
from vfs.resolve import PathOperation, resolve

if TYPE_CHECKING:
    import os

    from vfs.credentials import Credentials
    from vfs.dentry import Dentry
    from vfs.file import File
    from vfs.filesystem import FilesystemType, StatFilesystem
    from vfs.mount import Mount, VirtualDentry

_MKDIR = MkdirOptions()
_OPEN = OpenOptions()
_RENAME = RenameOptions()
_MOUNT = MountOptions()
_UMOUNT = UmountOptions()
_BIND = BindOptions()


class VirtualFilesystem:
    """One world of mounts, devices and file systems; worlds know nothing of each other.

    Methods that end in `_at` are the system calls of that name, with the caller's credentials given; the umask has been
    applied to modes. Besides what each names, all raise what resolution does: ENOENT, ENOTDIR, EACCES, ELOOP,
    ENAMETOOLONG. Calls that change something raise EROFS on a read-only mount.

    `lock` guards every change; calls take it themselves. It is reentrant.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.path_cache = PathCache()
        self.devices = DeviceTable()
        self.anonymous_devices = AnonymousDevices()
        self.filesystem_types = FilesystemTypes()
        self.pipes = Pipes()
        self.mountpoints: dict[Dentry, list[Mount]] = {}
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
        found = self.path_cache.entries.get((creds, op))
        if found is None or found[1].odd & DEAD:
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
        inode.check_access(creds, mask)
        if mask & MAY_WRITE and stat.S_IFMT(inode.mode) in {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}:
            mount.check_writable()

    def readlink_at(self, creds: Credentials, op: PathOperation) -> str:
        """readlink(2); the final link is never followed.

        Errors: EINVAL for a file that is no link, ENOENT if an empty path names it.
        """
        mount, dentry = resolve(self.path_cache, creds, op._replace(follow_final_symlink=False))
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
        return mounting.path_from(root, location)

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
        """linkat(2) with AT_EMPTY_PATH: a name for an open file, also for one that O_TMPFILE made, unless it has O_EXCL.

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

    # extended attributes

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

    # mounts

    def new_mount_namespace(
        self, creds: Credentials, source: str, fstype: str, options: MountOptions = _MOUNT
    ) -> MountNamespace:
        """A namespace whose root is a new mount of `fstype`.

        Errors: ENODEV for an unknown type; the type's own.
        """
        with self.lock:
            return MountNamespace(mounting.mount_disconnected(self, creds, source, fstype, options), creds)

    def copy_mount_namespace(self, creds: Credentials, namespace: MountNamespace) -> MountNamespace:
        """A namespace with a copy of every mount of another (CLONE_NEWNS): shared mounts are peers across the two.

        Unbindable mounts are copied too, and can be bound there (since Linux 6.17).
        """
        with self.lock:
            return mounting.copy_namespace(self, creds, namespace)

    def mount_disconnected(self, creds: Credentials, source: str, fstype: str, options: MountOptions = _MOUNT) -> Mount:
        """A new mount that is attached nowhere yet: `connect_mount_at` or `discard_mount` comes next.

        Errors: ENODEV for a type that is unknown, or not for users if a user mounts; the type's own.
        """
        with self.lock:
            return mounting.mount_disconnected(self, creds, source, fstype, options)

    def discard_mount(self, mount: Mount) -> None:
        """Let go of a mount that is attached nowhere, and of what is mounted below it.

        Errors: EBUSY if it is attached.
        """
        with self.lock:
            if mount.parent is not None or mount.namespace is not None:
                raise error(errno.EBUSY)
            if not mount.dead:
                mounting.umount_tree(self, mount)

    def connect_mount_at(self, creds: Credentials, mount: Mount, op: PathOperation) -> None:
        """Attach a detached mount, on top of what is mounted at the place already.

        Errors: ENOTDIR if one of the two is a directory and the other is not; ENOENT for a place that is gone; EINVAL for
        a mount that is attached; ELOOP for a place inside it; ENOSPC for too many mounts.
        """
        with self.lock:
            mounting.connect(self, creds, mount, op)

    def mount_at(
        self, creds: Credentials, source: str, op: PathOperation, fstype: str, options: MountOptions = _MOUNT
    ) -> Mount:
        """mount(2) of a file system type.

        Errors: as `mount_disconnected` and `connect_mount_at`.
        """
        with self.lock:
            mount = mounting.mount_disconnected(self, creds, source, fstype, options)
            try:
                mounting.connect(self, creds, mount, op)
            except OSError:
                mounting.umount_tree(self, mount)
                raise
            return mount

    def clone_mount(self, creds: Credentials, op: PathOperation, options: BindOptions = _BIND) -> Mount:
        """A detached mount of what is at a path (open_tree(2) with OPEN_TREE_CLONE).

        Errors: EINVAL for an unbindable mount.
        """
        with self.lock:
            return mounting.clone(self, resolve(self.path_cache, creds, op), options)

    def bind_at(
        self, creds: Credentials, source: PathOperation, target: PathOperation, options: BindOptions = _BIND
    ) -> Mount:
        """mount(2) with MS_BIND, or with MS_BIND | MS_REC. The copy of a shared mount is its peer, that of a slave has its master.

        Errors: as `connect_mount_at`; EINVAL for an unbindable source.
        """
        with self.lock:
            return mounting.bind(self, creds, source, target, options)

    def move_mount_at(self, creds: Credentials, source: PathOperation, target: PathOperation) -> None:
        """mount(2) with MS_MOVE.

        Errors: EINVAL for a source that is no mount point, that is mounted in a shared mount, or of another kind than the
        target, and for a tree with unbindable mounts that would become shared; ELOOP for a target inside the source; ENOSPC.
        """
        with self.lock:
            mounting.move(self, creds, source, target)

    def umount_at(self, creds: Credentials, op: PathOperation, options: UmountOptions = _UMOUNT) -> None:
        """umount2(2). What is at the same place in what hears of it (mount_namespaces(7)) goes too, unless mounts are in it.

        With MNT_DETACH, all that is mounted below goes as well, and what is open stays usable.

        Errors: EINVAL for a path that is no mount point or is the root of a namespace, and for unknown flags; EBUSY with
        mounts below or files open, unless MNT_DETACH; EPERM for MNT_FORCE without CAP_SYS_ADMIN.
        """
        with self.lock:
            mounting.umount(self, creds, op, options)

    def set_propagation_at(
        self, creds: Credentials, op: PathOperation, propagation: Propagation, *, recursive: bool = False
    ) -> None:
        """mount(2) with MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE, and with MS_REC.

        Errors: EINVAL for a path that is no mount point.
        """
        with self.lock:
            mounting.set_propagation(self._mount_at(creds, op), propagation, recursive=recursive)

    def set_mount_flags_at(
        self,
        creds: Credentials,
        op: PathOperation,
        add: MountFlags,
        remove: MountFlags = NO_MOUNT_FLAGS,
        *,
        recursive: bool = False,
    ) -> None:
        """mount_setattr(2), for mounts that others see: see `set_mount_flags`.

        Errors: EINVAL for a path that is no mount point; EBUSY.
        """
        with self.lock:
            mounting.set_flags(self, self._mount_at(creds, op), add, remove, recursive=recursive)

    def _mount_at(self, creds: Credentials, op: PathOperation) -> Mount:
        mount, dentry = resolve(self.path_cache, creds, op)
        if dentry is not mount.root:
            raise error(errno.EINVAL, op.path)
        return mount

    def set_mount_flags(
        self, mount: Mount, add: MountFlags, remove: MountFlags = NO_MOUNT_FLAGS, *, recursive: bool = False
    ) -> None:
        """Clear and set flags of a mount, or of all below it too, all or none (mount_setattr(2)). A new way of keeping access
        times replaces the old one.

        Errors: EBUSY if one becomes read-only on which files are open for writing.
        """
        with self.lock:
            mounting.set_flags(self, mount, add, remove, recursive=recursive)

    def set_mount_read_only(self, mount: Mount, *, read_only: bool) -> None:
        """Seal a mount, or open it again (S36).

        Errors: EBUSY if files on it are open for writing.
        """
        with self.lock:
            mount.set_read_only(read_only=read_only)

    def make_synthetic_mountpoint(self, creds: Credentials, op: PathOperation, *, directory: bool = True) -> None:
        """Make sure that there is something to mount on: a directory, or an empty file, with parents 0755 (S50).

        Whatever exists is used as it is.

        Errors: ENOTDIR for a parent that is no directory; as `mkdir_at` and `mknod_at`.
        """
        with self.lock:
            namei.make_mountpoint(self.path_cache, creds, op, directory=directory)
