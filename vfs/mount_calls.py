"""The calls about mounts and namespaces, in the shape of system calls: a part of `VirtualFilesystem`."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, cast

from vfs import cloning, mounting, namei, pivoting, unmounting
from vfs.credentials import check_may_mount
from vfs.errors import error
from vfs.namespace import MountNamespace
from vfs.options import NO_MOUNT_FLAGS, BindOptions, MountFlags, MountOptions, Propagation, UmountOptions
from vfs.resolve import PathOperation, resolve

if TYPE_CHECKING:
    from vfs.cloning import NamespaceCopy
    from vfs.credentials import Credentials
    from vfs.mount import Mount
    from vfs.pivoting import Pivot
    from vfs.virtual_filesystem import VirtualFilesystem

_MOUNT = MountOptions()
_UMOUNT = UmountOptions()
_BIND = BindOptions()


class MountCalls:
    """mount(2), umount2(2) and their newer relatives. Mixed into `VirtualFilesystem`, whose state it works on."""

    @property
    def _vfs(self) -> VirtualFilesystem:
        return cast("VirtualFilesystem", self)

    def new_mount_namespace(
        self, creds: Credentials, source: str, fstype: str, options: MountOptions = _MOUNT
    ) -> MountNamespace:
        """A namespace whose root is a new mount of `fstype`: how a world begins, so that no capability is asked for.

        Errors: ENODEV for an unknown type; the type's own.
        """
        vfs = self._vfs
        with vfs.lock:
            return MountNamespace(mounting.mount_disconnected(vfs, creds, source, fstype, options), creds)

    def copy_mount_namespace(
        self, creds: Credentials, namespace: MountNamespace, user_namespace: object | None = None
    ) -> NamespaceCopy:
        """A namespace with a copy of every mount of another (CLONE_NEWNS): shared mounts are peers across the two.

        Unbindable mounts are copied too, and can be bound there (since Linux 6.17). Another `user_namespace` than that of the
        original has less privileges: then shared mounts become slaves, and mounts and flags are locked (mount_namespaces(7)).

        Errors: EPERM without CAP_SYS_ADMIN; EINVAL for a namespace that was released.
        """
        vfs = self._vfs
        with vfs.lock:
            return cloning.copy_namespace(vfs, creds, namespace, user_namespace)

    def release_mount_namespace(self, namespace: MountNamespace) -> None:
        """Unmount all that is in a namespace: its last process is gone. Nobody hears of it; what is open stays usable.

        A namespace that was released stays so.
        """
        vfs = self._vfs
        with vfs.lock:
            if not namespace.root_mount.dead:
                unmounting.umount_tree(vfs, namespace.root_mount)

    def pivot_root_at(self, creds: Credentials, new_root: PathOperation, put_old: PathOperation) -> Pivot:
        """pivot_root(2) for a caller whose root is that of `new_root`; the result tells where roots and working directories are
        now (`Pivot.moved`).

        The root mount of a namespace can be replaced: it counts as mounted in a private mount that nobody sees, as on a
        machine whose initramfs is below.

        Errors: EPERM without CAP_SYS_ADMIN; ENOTDIR; EBUSY if either is on the mount of the current root; EINVAL if the new
        root or the current one is no mount point, if the old root cannot be reached from the new one, nor the new one from
        the current, if one of their parents or the mount at `put_old` is shared, and for a locked new root; ENOENT.
        """
        vfs = self._vfs
        with vfs.lock:
            return pivoting.pivot_root(vfs, creds, new_root, put_old)

    def mount_disconnected(self, creds: Credentials, source: str, fstype: str, options: MountOptions = _MOUNT) -> Mount:
        """A new mount that is attached nowhere yet: `connect_mount_at` or `discard_mount` comes next.

        Errors: EPERM without CAP_SYS_ADMIN; ENODEV for a type that is unknown, or not for users if a user mounts; the type's own.
        """
        vfs = self._vfs
        check_may_mount(creds, source)
        with vfs.lock:
            return mounting.mount_disconnected(vfs, creds, source, fstype, options)

    def discard_mount(self, mount: Mount) -> None:
        """Let go of a mount that is attached nowhere, and of what is mounted below it.

        Errors: EBUSY if it is attached.
        """
        vfs = self._vfs
        with vfs.lock:
            if mount.place is not None or mount.namespace is not None:
                raise error(errno.EBUSY)
            if not mount.dead:
                unmounting.umount_tree(vfs, mount)

    def connect_mount_at(self, creds: Credentials, mount: Mount, op: PathOperation) -> None:
        """Attach a detached mount, on top of what is mounted at the place already (move_mount(2)).

        Errors: EINVAL for a mount that is attached, a place inside it or of another namespace, if one of the two is a directory
        and the other is not, and for a tree with unbindable mounts that would become shared; ENOENT for a place that is gone;
        ENOSPC for too many mounts; EPERM without CAP_SYS_ADMIN.
        """
        vfs = self._vfs
        with vfs.lock:
            mounting.connect(vfs, creds, mount, op)

    def mount_at(
        self, creds: Credentials, source: str, op: PathOperation, fstype: str, options: MountOptions = _MOUNT
    ) -> Mount:
        """mount(2) of a file system type.

        Errors: as `mount_disconnected` and `connect_mount_at`, but ENOTDIR if one of the two is a directory and the other is not.
        """
        vfs = self._vfs
        with vfs.lock:
            resolve(vfs.path_cache, creds, op)
            check_may_mount(creds, op.path)
            mount = mounting.mount_disconnected(vfs, creds, source, fstype, options)
            mounting.add(vfs, creds, mount, op)
            return mount

    def clone_mount(self, creds: Credentials, op: PathOperation, options: BindOptions = _BIND) -> Mount:
        """A detached mount of what is at a path (open_tree(2) with OPEN_TREE_CLONE).

        Errors: EINVAL for an unbindable mount, for one of another namespace, and for one with locked mounts that would be
        left out; EPERM for a locked mount below that is unbindable, and without CAP_SYS_ADMIN.
        """
        vfs = self._vfs
        with vfs.lock:
            check_may_mount(creds, op.path)
            return cloning.clone(vfs, resolve(vfs.path_cache, creds, op), op.root.mount.namespace, options)

    def bind_at(
        self, creds: Credentials, source: PathOperation, target: PathOperation, options: BindOptions = _BIND
    ) -> Mount:
        """mount(2) with MS_BIND, or with MS_BIND | MS_REC. The copy of a shared mount is its peer, that of a slave has its master.

        Errors: as `mount_at`; EINVAL for an unbindable source, or one of another namespace.
        """
        vfs = self._vfs
        with vfs.lock:
            return mounting.bind(vfs, creds, source, target, options)

    def move_mount_at(self, creds: Credentials, source: PathOperation, target: PathOperation) -> None:
        """mount(2) with MS_MOVE.

        Errors: EINVAL for a source that is no mount point, that is mounted in a shared mount, or of another kind than the
        target, and for a tree with unbindable mounts that would become shared; ELOOP for a target inside the source; ENOSPC.
        """
        vfs = self._vfs
        with vfs.lock:
            mounting.move(vfs, creds, source, target)

    def umount_at(self, creds: Credentials, op: PathOperation, options: UmountOptions = _UMOUNT) -> None:
        """umount2(2). What is at the same place in what hears of it (mount_namespaces(7)) goes too, unless mounts are in it.

        With MNT_DETACH, all that is mounted below goes as well, and what is open stays usable. With MNT_EXPIRE, the first call
        only marks the mount. What keeps a mount busy is a `File`; one that was opened with O_PATH does as well, which is how to
        hold a root or a working directory. The root and start of `op` are busy, too.

        Errors: EINVAL for a path that is no mount point or is the root of a namespace (that Linux makes read-only instead), for
        a locked mount, and for unknown flags or MNT_EXPIRE with another; EBUSY with mounts below or files open, unless
        MNT_DETACH; EAGAIN from MNT_EXPIRE if the mount was not marked, or was used since; EPERM without CAP_SYS_ADMIN.
        """
        vfs = self._vfs
        with vfs.lock:
            unmounting.umount(vfs, creds, op, options)

    def set_propagation_at(
        self, creds: Credentials, op: PathOperation, propagation: Propagation, *, recursive: bool = False
    ) -> None:
        """mount(2) with MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE, and with MS_REC.

        Errors: EINVAL for a path that is no mount point.
        """
        vfs = self._vfs
        with vfs.lock:
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
        vfs = self._vfs
        with vfs.lock:
            mounting.set_flags(vfs, self._mount_at(creds, op), add, remove, recursive=recursive)

    def _mount_at(self, creds: Credentials, op: PathOperation) -> Mount:
        mount, dentry = resolve(self._vfs.path_cache, creds, op)
        check_may_mount(creds, op.path)
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
        vfs = self._vfs
        with vfs.lock:
            mounting.set_flags(vfs, mount, add, remove, recursive=recursive)

    def set_mount_read_only(self, mount: Mount, *, read_only: bool) -> None:
        """Seal a mount, or open it again (S36).

        Errors: EBUSY if files on it are open for writing.
        """
        vfs = self._vfs
        with vfs.lock:
            mount.set_read_only(read_only=read_only)

    def make_synthetic_mountpoint(self, creds: Credentials, op: PathOperation, *, directory: bool = True) -> None:
        """Make sure that there is something to mount on: a directory, or an empty file, with parents 0755 (S50).

        Whatever exists is used as it is.

        Errors: ENOTDIR for a parent that is no directory; as `mkdir_at` and `mknod_at`.
        """
        vfs = self._vfs
        with vfs.lock:
            namei.make_mountpoint(vfs.path_cache, creds, op, directory=directory)
