"""A tree of mounts that a group of processes sees (mount_namespaces(7))."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vfs.abi import MOUNT_MAX
from vfs.errors import error
from vfs.mount import VirtualDentry

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.mount import Mount


class MountNamespace:
    """A root mount and what is mounted below it; `owner` made it.

    `user_namespace` stands for the user namespace that owns it, a value of the caller's that is compared by identity: what
    comes from a namespace of another one is locked (mount_namespaces(7)).

    Invariants: `mount_count` is the number of mounts in the tree of `root_mount`; each has this namespace. Changes under
    the lock of the VFS.
    """

    def __init__(self, root_mount: Mount, owner: Credentials, user_namespace: object | None = None) -> None:
        self.root_mount = root_mount
        self.owner = owner
        self.user_namespace = user_namespace
        self.mount_count = 1
        root_mount.namespace = self

    @property
    def root(self) -> VirtualDentry:
        """Where "/" is for a process that starts here: the root of the root mount, under anything stacked on it later."""
        return VirtualDentry(self.root_mount, self.root_mount.root)

    def __iter__(self) -> Iterator[Mount]:
        """The mounts by id: the order of mountinfo."""
        return iter(sorted(self.root_mount.tree(), key=lambda mount: mount.id))

    def reserve(self, mounts: int) -> None:
        """Check that the namespace takes so many more mounts.

        Errors: ENOSPC above MOUNT_MAX (S51).
        """
        if self.mount_count + mounts > MOUNT_MAX:
            raise error(errno.ENOSPC)
