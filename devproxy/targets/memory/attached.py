"""The mounts that were attached, by the paths that were asked for.

Rights are taken away from a mount, as on the kernel (devproxy.targets.kernel.kept), not from what its path leads to by then: the
image may have links at two mount points to one place, and the later mount lies over the earlier one.
"""

from __future__ import annotations

from vfs.mount import VirtualDentry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vfs.mount import Mount


class Attached:
    """Of two mounts on one path it knows the later one."""

    def __init__(self) -> None:
        self._number = 0
        self._mounts: dict[str, tuple[int, Mount]] = {}

    def add(self, path: str, mount: Mount) -> None:
        """A mount was attached at a path. What covers the root itself is not noted: paths begin below it."""
        if path != "/":
            self._number += 1
            self._mounts[path] = self._number, mount

    def at(self, path: str) -> VirtualDentry | None:
        """The root of the mount at a path; None if there is none, or a later one above it hides it."""
        found = self._mounts.get(path)
        if found is None:
            return None
        number, mount = found
        above = path
        while above := above.rpartition("/")[0]:
            if above in self._mounts and self._mounts[above][0] > number:
                return None
        return VirtualDentry(mount, mount.root)
