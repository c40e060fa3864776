"""vfio: which PCI devices are behind /dev/vfio/N (Documentation/driver-api/vfio.rst).

N is the number of an IOMMU group; the node's minor is the order in which the groups were given to vfio.
"""

from __future__ import annotations

import os

from devproxy.host.device_class import number_in
from devproxy.host.facts import HostNode, IommuGroup, PciDevice
from devproxy.host.root import HostRoot
from devproxy.node import NodeKind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

VFIO_DRIVER: Final = "vfio-pci"
_GROUPS: Final = "/sys/kernel/iommu_groups"
_NODES: Final = "/dev/vfio/"
# A device's own node, named after its device in the class vfio-dev (Documentation/userspace-api/iommufd.rst).
IOMMUFD_NODES: Final = "/dev/vfio/devices/"


def read_iommu_groups(
    root: HostRoot, pci: tuple[PciDevice, ...], nodes: tuple[HostNode, ...]
) -> tuple[IommuGroup, ...]:
    """The groups that have a node, and those of devices that were given to vfio, by number. A machine has hundreds of
    others.
    """
    named = [number_in(node.path, _NODES) for node in nodes if node.kind is NodeKind.CHARACTER]
    held = [_group_of(root, device) for device in pci if device.driver == VFIO_DRIVER]
    numbers = sorted({number for number in (*named, *held) if number is not None})
    return tuple(_read_group(root, number) for number in numbers)


def group_path(number: int) -> str:
    """The node of a group."""
    return f"{_NODES}{number}"


def group_of(groups: tuple[IommuGroup, ...], address: str) -> IommuGroup | None:
    """The group that a device is in, as the groups themselves say, or None."""
    return next((group for group in groups if address in group.members), None)


def _group_of(root: HostRoot, device: PciDevice) -> int | None:
    return number_in(os.path.basename(root.follow(f"{device.source}/iommu_group")), "")


def _read_group(root: HostRoot, number: int) -> IommuGroup:
    source = f"{_GROUPS}/{number}"
    return IommuGroup(number, tuple(root.listdir(f"{source}/devices")), source)
