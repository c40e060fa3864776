"""Which mounts a plan makes, and in which order (S16 to S20, S33)."""

from __future__ import annotations

from devproxy.mount_options import MountOptions
from devproxy.oci.spec import Mount

MANDATORY = "rule: mandatory mounts"

# A devpts without options has a ptmx that nobody may open (Documentation/filesystems/devpts.rst).
DEVPTS_DATA = ("newinstance", "ptmxmode=0666", "mode=0620")

_MANDATORY = (
    Mount("/proc", "proc", "proc", MountOptions(), MANDATORY),
    Mount("/sys", "sysfs", "sysfs", MountOptions(), MANDATORY),
    Mount("/dev", "devtmpfs", "devtmpfs", MountOptions(), MANDATORY),
    Mount("/dev/pts", "devpts", "devpts", MountOptions(data=DEVPTS_DATA), MANDATORY),
)


def ordered_mounts(listed: tuple[Mount, ...], mount_order: str) -> list[Mount]:
    """The mandatory mounts that the spec lacks, then the spec's; by depth when `mount_order` is `depth`.

    The sort is stable: parents come before children, and of two mounts at one path the later one is on top.
    """
    present = {mount.destination for mount in listed if not is_cgroup(mount)}
    mounts = [mount for mount in _MANDATORY if mount.destination not in present]
    mounts += listed
    if mount_order == "depth":
        mounts.sort(key=lambda mount: mount.destination.count("/"))
    return mounts


def is_cgroup(mount: Mount) -> bool:
    """Whether the configuration decides about it, not the spec (S16)."""
    return mount.type in ("cgroup", "cgroup2")
