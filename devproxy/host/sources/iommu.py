"""How many IOMMU groups the machine has: none means that its IOMMU is off (Documentation/driver-api/vfio.rst)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.root import HostRoot

_GROUPS: Final = "/sys/kernel/iommu_groups"


def read_iommu(root: HostRoot) -> int | None:
    """The number of groups, or None if they cannot be seen."""
    names = root.listdir(_GROUPS)
    if not names and any(unseen.path == _GROUPS for unseen in root.unseen):
        return None
    return len(names)
