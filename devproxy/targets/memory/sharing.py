"""Which mounts are shared: the propagation types, as far as one namespace can show them (mount_namespaces(7)).

A root in memory is one namespace, so that nothing ever propagates. What its process would read is kept: the tags of
mountinfo, and that a mount below a shared one is shared too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devproxy.mount_options import Propagation

if TYPE_CHECKING:
    from vfs.mount import Mount


class Sharing:
    """Peer groups and unbindable mounts by mount id.

    A slave needs a master, which lies in another namespace: without one, Linux makes the mount private, and so does this.
    """

    def __init__(self) -> None:
        self._groups: dict[int, int] = {}
        self._unbindable: set[int] = set()
        self._last_group = 0

    def set(self, mounts: list[Mount], propagation: Propagation) -> None:
        """Give mounts a propagation type. A mount that is shared stays in its group when it is made shared again."""
        for mount in mounts:
            self._unbindable.discard(mount.id)
            if propagation is Propagation.SHARED:
                if mount.id not in self._groups:
                    self._last_group += 1
                    self._groups[mount.id] = self._last_group
            else:
                self._groups.pop(mount.id, None)
                if propagation is Propagation.UNBINDABLE:
                    self._unbindable.add(mount.id)

    def attached(self, mounts: list[Mount], parent: Mount) -> None:
        """Mounts were attached below `parent`: they are shared if it is."""
        if parent.id in self._groups:
            self.set(mounts, Propagation.SHARED)

    def cloned(self, mount: Mount, copy: Mount) -> None:
        """A copy joins the group of its original."""
        if mount.id in self._groups:
            self._groups[copy.id] = self._groups[mount.id]

    def tags(self, mount_id: int) -> tuple[str, ...]:
        """The optional fields of a line of mountinfo."""
        shared = (f"shared:{self._groups[mount_id]}",) if mount_id in self._groups else ()
        return (*shared, "unbindable") if mount_id in self._unbindable else shared
