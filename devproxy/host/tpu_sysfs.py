"""What libtpu and tpu-info read of sysfs to find the chips (S75, H16), kept as facts: it is shown again in memory.

Only small text files of known names are read, of TPUs alone: a resource file, for one, is a piece of the device.
"""

from __future__ import annotations

import os

from devproxy.host.device_class import ClassDevice, read_class
from devproxy.host.facts import IommuGroup, PciDevice, SysfsEntry
from devproxy.host.kernel import read_files
from devproxy.host.root import HostRoot
from devproxy.host.tpu import generation_of
from devproxy.host.vfio import group_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_PCI_FILES: Final = (
    "class", "device", "enable", "numa_node", "resource", "revision", "subsystem_device", "subsystem_vendor", "vendor",
)  # fmt: skip
_CLASS_FILES: Final = {
    "accel": (
        "bar_offsets", "bar_sizes", "chip_model", "dev", "device_owner", "driver_version", "framework_version",
        "interrupt_counts", "is_device_owned", "pci_address", "reset_count", "status", "user_mem_ranges",
        "write_open_count",
    ),
    "vfio-dev": ("dev",),
}  # fmt: skip
_FUNCTIONS: Final = 256


def read_tpu_sysfs(
    root: HostRoot, pci: tuple[PciDevice, ...], groups: tuple[IommuGroup, ...]
) -> tuple[SysfsEntry, ...]:
    """The directory of each TPU function with its class and IOMMU group, and the links that lead there."""
    tpus = [device for device in pci if generation_of(device)]
    if not tpus:
        return ()
    classes = {name: read_class(root, name) for name in _CLASS_FILES}
    entries: list[SysfsEntry] = []
    for device in tpus:
        entries += read_files(root, device.source, _PCI_FILES)
        entries.append(_link(f"/sys/bus/pci/devices/{device.address}", device.source))
        entries += _other_functions(root, device.source)
        group = group_of(groups, device.address)
        if group is not None:
            entries.append(_link(f"{device.source}/iommu_group", group.source))
            entries.append(_link(f"{group.source}/devices/{device.address}", device.source))
        for name, members in classes.items():
            for member in members:
                if member.address == device.address:
                    entries += _class_entries(root, name, member)
    return tuple(entries)


def _other_functions(root: HostRoot, source: str) -> list[SysfsEntry]:
    """Links from a virtual function to its physical one, and back (Documentation/ABI/testing/sysfs-bus-pci)."""
    entries = []
    for name in ("physfn", *(f"virtfn{number}" for number in range(_FUNCTIONS))):
        path = f"{source}/{name}"
        target = root.follow(path)
        if target != path:
            entries.append(_link(path, target))
        elif name != "physfn":
            break  # they are numbered without gaps
    return entries


def _class_entries(root: HostRoot, name: str, member: ClassDevice) -> list[SysfsEntry]:
    entries = list(read_files(root, member.source, _CLASS_FILES[name]))
    entries.append(SysfsEntry(f"{member.source}/device", "", f"../../../{member.address}"))
    entries.append(_link(f"/sys/class/{name}/{member.name}", member.source))
    return entries


def _link(path: str, target: str) -> SysfsEntry:
    return SysfsEntry(path, "", os.path.relpath(target, os.path.dirname(path)))
