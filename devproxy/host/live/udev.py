"""Accelerators as udev knows them: classes of devices, and PCI functions that are or hold one.

NVIDIA's nodes are not among them and never were: that driver has no class of devices. Whether udevd has seen a device
(`initialized`) is told and decides nothing: in containers nobody has.
"""

from __future__ import annotations

from devproxy.host.live.udev_library import new_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

_SUBSYSTEMS: Final = (
    "accel",
    "drm",
    "vfio",
    "vfio-dev",
    "iommufd",
    "kfd",
    "habanalabs",
    "infiniband",
    "infiniband_verbs",
)
# Of the miscellaneous devices those that give access to an accelerator.
_MISC: Final = frozenset(("vfio", "iommu", "kfd", "dxg", "gdrdrv", "rdma_cm"))
# Base classes of PCI: display controllers and accelerators. TPUs say that they have no class, NVSwitches are bridges.
_PCI_CLASSES: Final = ("03", "12")
_PCI_VENDORS: Final = ("10DE:", "1AE0:")
_PROPERTIES: Final = (
    "MAJOR", "MINOR", "PCI_CLASS", "PCI_ID", "PCI_SLOT_NAME", "PCI_SUBSYS_ID", "ID_PATH", "ID_VENDOR_FROM_DATABASE",
    "ID_MODEL_FROM_DATABASE",
)  # fmt: skip
_MOST: Final = 4096


def read() -> dict[str, object]:
    """`{"devices": [...]}` by path, or `{"error": ...}` where udev cannot be asked at all."""
    try:
        context = new_context()
    except OSError as error:
        return {"error": error.strerror or str(error)}
    found = [_device(each) for name in _SUBSYSTEMS for each in context.list_devices(subsystem=name)]
    found += [_device(each) for each in context.list_devices(subsystem="misc") if each.sys_name in _MISC]
    found += [_device(each) for each in context.list_devices(subsystem="pci") if _is_accelerator(each)]
    return {"devices": sorted(found, key=lambda device: str(device["path"]))[:_MOST]}


def _is_accelerator(device: Any) -> bool:  # noqa: ANN401 (pyudev has no types)
    properties = device.properties
    code = properties.get("PCI_CLASS", "").rjust(6, "0")[:2]
    return code in _PCI_CLASSES or properties.get("PCI_ID", "").upper().startswith(_PCI_VENDORS)


def _device(device: Any) -> dict[str, object]:  # noqa: ANN401 (the same)
    properties = device.properties
    return {
        "driver": device.driver or "",
        "initialized": bool(device.is_initialized),
        "node": device.device_node or "",
        "path": str(device.device_path),
        "properties": {name: str(properties[name]) for name in _PROPERTIES if name in properties},
        "subsystem": str(device.subsystem or ""),
    }
