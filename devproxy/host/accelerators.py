"""Accelerators that are neither NVIDIA GPUs nor TPUs, as far as they have a device node: DRM's accelerators (Gaudi, NPUs),
render nodes, AMD's kfd, and what else was given to vfio.
"""

from __future__ import annotations

from devproxy.host.device_class import read_class, read_class_device
from devproxy.host.facts import Accelerator, HostNode, IommuGroup, PciDevice, TpuChip
from devproxy.host.root import HostRoot
from devproxy.node import NodeKind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_NVIDIA: Final = 0x10DE
_KFD: Final = "/dev/kfd"
_RENDER: Final = "/dev/dri/renderD"


def read_accelerators(
    root: HostRoot,
    pci: tuple[PciDevice, ...],
    nodes: tuple[HostNode, ...],
    groups: tuple[IommuGroup, ...],
    tpus: tuple[TpuChip, ...],
) -> tuple[Accelerator, ...]:
    """Every node of another accelerator: accel, drm, kfd, vfio, each by name or number."""
    paths = {node.path for node in nodes if node.kind is NodeKind.CHARACTER}
    devices = {device.address: device for device in pci}
    known = {path for chip in tpus for path in chip.nodes}
    found = []
    for each in read_class(root, "accel"):
        path = f"/dev/accel/{each.name}"
        if path in paths and not _is_tpu(devices.get(each.address)):
            found.append(Accelerator(path, "accel", _some(each.address), each.source))
    for path in sorted(path for path in paths if path.startswith(_RENDER)):
        each = read_class_device(root, "drm", path.removeprefix("/dev/dri/"))
        if each.address not in devices or devices[each.address].vendor != _NVIDIA:
            found.append(Accelerator(path, "drm", _some(each.address), each.source))
    if _KFD in paths:
        found.append(Accelerator(_KFD, "kfd", (), _KFD))
    for group in groups:
        from devproxy.host.vfio import group_path

        path = group_path(group.number)
        if path in paths and path not in known:
            found.append(Accelerator(path, "vfio", group.members, group.source))
    return tuple(found)


def _is_tpu(device: PciDevice | None) -> bool:
    if device is None:
        return False
    from devproxy.host.tpu import generation_of

    return generation_of(device) != ""


def _some(address: str) -> tuple[str, ...]:
    return (address,) if address else ()
