"""TPU chips: Google's PCI functions with an id that is a TPU's, and the node that each of them has.

A chip is what its PCI function says it is. Names are not enough: DRM's accelerators have the same class in sysfs, and other
devices are given to vfio as well. The ids are those that gVisor and tpu-info know. Of 7x they name two: tpu-info counts 0x0076,
gVisor takes that for the physical function of 0x0075. Either counts, but 0x0076 not beside 0x0075.
"""

from __future__ import annotations

from devproxy.host.device_class import number_in, read_class
from devproxy.host.facts import HostNode, IommuGroup, PciDevice, TpuChip
from devproxy.host.root import HostRoot
from devproxy.host.vfio import IOMMUFD_NODES, VFIO_DRIVER, group_of, group_path
from devproxy.node import NodeKind
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_GOOGLE: Final = 0x1AE0
_GENERATIONS: Final = {
    0x0027: "v2 or v3",
    0x0056: "v4 lite",
    0x005E: "v4",
    0x0062: "v5p",
    0x0063: "v5e",
    0x006F: "v6e",
    0x0075: "7x",
    0x0076: "7x",
}
# v2 and v3 differ in the subsystem's device alone.
_SUBSYSTEMS: Final = {(0x0027, 0x004E): "v2", (0x0027, 0x004F): "v3"}
_CHIP_OF_7X, _PHYSICAL_OF_7X = 0x0075, 0x0076
# A chip of these has several functions in one slot, each with a node.
_SEVERAL_FUNCTIONS: Final = frozenset(("7x",))


class _Function(Record):
    """A function of a chip: the node it should have, that node's number in the name, and why it is of no use."""

    device: PciDevice
    generation: str
    path: str
    number: int | None
    problem: str


def generation_of(device: PciDevice) -> str:
    """Which TPU a PCI function is (`v5p`); empty if it is none. The physical function that v6e's chips are cut from is
    none.
    """
    if device.vendor != _GOOGLE:
        return ""
    known = _GENERATIONS.get(device.device, "")
    return _SUBSYSTEMS.get((device.device, device.subsystem_device or 0), known)


def read_tpus(
    root: HostRoot, pci: tuple[PciDevice, ...], nodes: tuple[HostNode, ...], groups: tuple[IommuGroup, ...]
) -> tuple[TpuChip, ...]:
    """The chips, usable or not, by rank."""
    devices = chip_functions(pci)
    if not devices:
        return ()
    by_path = {node.path: node for node in nodes if node.kind is NodeKind.CHARACTER}
    accel = {found.address: (found.name, found.source) for found in read_class(root, "accel")}
    chips: dict[str, list[_Function]] = {}
    for device in devices:
        if device.driver == VFIO_DRIVER:
            function = _of_vfio(root, device, groups, by_path)
        else:
            function = _of_accel(root, device, accel.get(device.address), by_path)
        several = function.generation in _SEVERAL_FUNCTIONS
        chips.setdefault(device.address.partition(".")[0] if several else device.address, []).append(function)
    ordered = sorted(chips.values(), key=_place)
    return tuple(_chip(rank, functions) for rank, functions in enumerate(ordered))


def chip_functions(pci: tuple[PciDevice, ...]) -> list[PciDevice]:
    """The functions that are chips, without the physical ones that they were cut from."""
    devices = [device for device in pci if generation_of(device)]
    if any(device.device == _CHIP_OF_7X for device in devices):
        devices = [device for device in devices if device.device != _PHYSICAL_OF_7X]
    return devices


def _of_vfio(
    root: HostRoot, device: PciDevice, groups: tuple[IommuGroup, ...], by_path: dict[str, HostNode]
) -> _Function:
    """A function given to vfio. Its group must be its own: what else is in it would be handed out with it."""
    group = group_of(groups, device.address)
    if group is None:
        return _Function(device, generation_of(device), "", None, "its IOMMU group is not known")
    path, problem = group_path(group.number), ""
    others = [address for address in group.members if address != device.address]
    if others:
        problem = f"IOMMU group {group.number} has other devices too: {', '.join(others)}"
    elif path not in by_path:
        problem = f"{path} is missing or no character device"
        iommufd = [
            f"{IOMMUFD_NODES}{each.name}" for each in read_class(root, "vfio-dev") if each.address == device.address
        ]
        there = [each for each in iommufd if each in by_path]
        problem += f"; it has {there[0]}, iommufd's, which no libtpu is known to open" if there else ""
    return _Function(device, generation_of(device), path, group.number, problem)


def _of_accel(
    root: HostRoot, device: PciDevice, accel: tuple[str, str] | None, by_path: dict[str, HostNode]
) -> _Function:
    """A function held by the TPU's own driver, whose node is /dev/accelN: /dev/accel/accelN is DRM's."""
    name, source = accel or ("", "")
    number = number_in(name, "accel")
    if number is None:
        problem = f"its driver {device.driver} makes no /dev/accelN" if device.driver else "no driver is bound"
        return _Function(device, generation_of(device), "", None, problem)
    path, problem = f"/dev/{name}", ""
    node = by_path.get(path)
    expected = (root.read_text(f"{source}/dev", limit=4096) or "").strip()
    if node is None:
        problem = f"{path} is missing or no character device"
    elif expected and expected != str(node.number):
        problem = f"{path} is {node.number}, its driver says {expected}"
    return _Function(device, generation_of(device), path, number, problem)


def _place(functions: list[_Function]) -> tuple[bool, int]:
    """Chips are counted by the number in the node's name; the sort keeps the rest in the order of their addresses."""
    number = min((f.number for f in functions if f.number is not None), default=None)
    return number is None, number or 0


def _chip(rank: int, functions: list[_Function]) -> TpuChip:
    problem = "; ".join(dict.fromkeys(function.problem for function in functions if function.problem))
    first = functions[0]
    paths = () if problem else tuple(function.path for function in functions)
    device = first.device
    return TpuChip(rank, device.address, first.generation, device.driver, paths, problem, device.source)
