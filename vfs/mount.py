"""A file system attached, or ready to be attached, to a tree of mounts.

Analogous to Linux's struct mount. Difference: no reference counts.
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

    `id` increases with time (mountinfo). `place` is where it is mounted, `parent` and `mountpoint` in one, so that a reader
    never sees one without the other; it is None while the mount is detached, and for the root mount of a namespace. `namespace`
    is None for what is in no namespace. `children` maps mount points, dentries seen in this mount, to the mount on
    top of them; a second mount at the same place hangs below the root of the first. `open_files` counts open files here,
    `writers` those that may write. A `dead` mount was unmounted. A `locked` one stays where it is, and cannot be taken off what it
    covers; `locked_flags` cannot be cleared (mount_namespaces(7), "Restrictions on mount namespaces"). `peers` is the group that it is shared in, `master` the one
    that it is a slave of; an `unbindable` mount is not copied.

    Invariants: place.mount.children[place.dentry] is self while attached; a dead mount has neither peers nor master. All of it changes under the lock of the VFS.
    """

    __slots__ = (
        "_flags",
        "bits",
        "children",
        "dead",
        "fs",
        "id",
        "locked",
        "locked_flags",
        "master",
        "namespace",
        "open_files",
        "peers",
        "place",
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
        self.place: VirtualDentry | None = None
        self.namespace: MountNamespace | None = None
        self.children: dict[Dentry, Mount] = {}
        self.peers: PeerGroup | None = None
        self.master: PeerGroup | None = None
        self.unbindable = False
        self.locked = False
        self.locked_flags = NO_MOUNT_FLAGS
        self.dead = False
        self.open_files = 0
        self.writers = 0

    def __repr__(self) -> str:
        return f"<Mount {self.id} {self.fs.type_name} root {self.root.path()!r} {self.flags!r}>"

    @property
    def parent(self) -> Mount | None:
        """The mount that it is mounted in."""
        place = self.place
        return None if place is None else place.mount

    @property
    def mountpoint(self) -> Dentry | None:
        """What it is mounted on, a dentry of its parent."""
        place = self.place
        return None if place is None else place.dentry

    @property
    def flags(self) -> MountFlags:
        """The flags of this mount. `bits` are those in force, with what the file system adds, as a plain integer: testing that
        costs a tenth.
        """
        return self._flags

    @flags.setter
    def flags(self, flags: MountFlags) -> None:
        self._flags = flags
        self.bits = int(flags) | _RDONLY if self.fs.read_only else int(flags)

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
