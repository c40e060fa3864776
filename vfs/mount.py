"""A file system attached, or ready to be attached, to a tree of mounts.

Analogous to Linux's struct mount. Differences: no reference counts; a mount that is read-only is so by itself, whatever other
mounts of the same file system are.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, NamedTuple

from vfs.errors import error
from vfs.options import NO_MOUNT_FLAGS, MountFlags

if TYPE_CHECKING:
    from vfs.dentry import Dentry
    from vfs.filesystem import Filesystem
    from vfs.namespace import MountNamespace
    from vfs.propagation import PeerGroup

_RDONLY: Final = int(MountFlags.RDONLY)


class Mount:
    """A mount: `root` of `fs` seen at `mountpoint` of `parent`.

    `id` increases with time (mountinfo). `parent`, `mountpoint` and `namespace` are None while the mount is detached; the
    root mount of a namespace has no parent. `children` maps mount points, dentries seen in this mount, to the mount on
    top of them; a second mount at the same place hangs below the root of the first. `open_files` counts open files here,
    `writers` those that may write. A `dead` mount was unmounted. `peers` is the group that it is shared in, `master` the one
    that it is a slave of; an `unbindable` mount is not copied.

    Invariants: parent.children[mountpoint] is self while attached; a dead mount has neither peers nor master. All of it changes under the lock of the VFS.
    """

    __slots__ = (
        "_flags",
        "bits",
        "children",
        "dead",
        "fs",
        "id",
        "master",
        "mountpoint",
        "namespace",
        "open_files",
        "parent",
        "peers",
        "root",
        "source",
        "unbindable",
        "writers",
    )

    def __init__(self, mount_id: int, fs: Filesystem, root: Dentry, flags: MountFlags, source: str) -> None:
        self.id = mount_id
        self.fs = fs
        self.root = root
        self.flags = flags
        self.source = source
        self.parent: Mount | None = None
        self.mountpoint: Dentry | None = None
        self.namespace: MountNamespace | None = None
        self.children: dict[Dentry, Mount] = {}
        self.peers: PeerGroup | None = None
        self.master: PeerGroup | None = None
        self.unbindable = False
        self.dead = False
        self.open_files = 0
        self.writers = 0

    def __repr__(self) -> str:
        return f"<Mount {self.id} {self.fs.type_name} root {self.root.path()!r} {self.flags!r}>"

    @property
    def flags(self) -> MountFlags:
        """The flags in force. `bits` holds them as a plain integer: testing that costs a tenth."""
        return self._flags

    @flags.setter
    def flags(self, flags: MountFlags) -> None:
        self._flags = flags
        self.bits = int(flags)

    @property
    def read_only(self) -> bool:
        """Whether nothing may be written through this mount."""
        return bool(self.bits & _RDONLY)

    def check_writable(self) -> None:
        """Errors: EROFS."""
        if self.bits & _RDONLY:
            raise error(errno.EROFS)

    def set_read_only(self, *, read_only: bool) -> None:
        """Seal the mount, or open it again (S36).

        Errors: EBUSY if it is to be sealed and files are open for writing.
        """
        if read_only and self.writers:
            raise error(errno.EBUSY)
        self.flags = self.flags | MountFlags.RDONLY if read_only else self.flags & ~MountFlags.RDONLY

    def tree(self) -> list[Mount]:
        """This mount and all below it, parents first."""
        mounts = [self]
        for mount in mounts:
            mounts.extend(mount.children.values())
        return mounts


class VirtualDentry(NamedTuple):
    """A place in a mount tree: a dentry seen through a mount (Linux's struct path). Roots, working directories and the
    results of walks are these.
    """

    mount: Mount
    dentry: Dentry


__all__ = ["NO_MOUNT_FLAGS", "Mount", "MountFlags", "VirtualDentry"]
