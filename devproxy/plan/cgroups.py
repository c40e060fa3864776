"""What becomes of the spec's cgroup mounts (S16, H25).

The process is placed in no cgroup of its own, so that what is mounted shows the caller's. It can be written only where
the spec asks for that in so many words and has a cgroup namespace of its own (CVE-2023-25809).
"""

from __future__ import annotations

from devproxy.mount_options import Attribute, MountOptions
from devproxy.oci.configuration import Cgroupfs
from devproxy.oci.spec import Mount, Namespace
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class CgroupMounts(Record):
    """Which version is mounted, and whether the container has a cgroup namespace of its own."""

    version: Cgroupfs
    namespaced: bool

    @property
    def fstype(self) -> str:
        """The type that is mounted: `cgroup` stands for a tmpfs with a mount for each hierarchy in it."""
        return "cgroup" if self.version is Cgroupfs.V1 else "cgroup2"

    def options(self, mount: Mount) -> tuple[MountOptions, str]:
        """The options of a mount, read-only unless it may be written, and why it is although the spec says otherwise."""
        change = mount.options.change
        asked = bool(change.clear & Attribute.RDONLY)
        kept = "" if self.namespaced or not asked else "that takes a new cgroup namespace in linux.namespaces"
        if not asked or kept:
            change = change._replace(set=change.set | Attribute.RDONLY, clear=change.clear & ~Attribute.RDONLY)
        return mount.options._replace(change=change, superblock=(), data=()), kept


def cgroup_mounts(version: Cgroupfs, namespaces: Iterable[Namespace]) -> CgroupMounts:
    """What the configuration and the spec's namespaces make of cgroup mounts. A namespace that is joined by its path may
    be the host's: it is not the container's own.
    """
    return CgroupMounts(version, any(each.type == "cgroup" and not each.path for each in namespaces))
