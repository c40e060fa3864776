"""vfio and IOMMU groups: whether a device can be handed out, and what goes with it (Documentation/driver-api/vfio.rst)."""

from __future__ import annotations

from devproxy.check.doctor.case import Case, seen
from devproxy.check.finding import Finding, Severity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.facts import HostNode, IommuGroup, PciDevice

_CONTROL: Final = "/dev/vfio/vfio"
_VFIO: Final = "vfio-pci"
# Drivers that may stay beside vfio's in a group: they leave DMA to its owner (iommu_device_use_default_domain()).
_HARMLESS: Final = frozenset(("", _VFIO, "pci-stub", "pcieport", "shpchp"))
# TPUs from v5 on are used through vfio.
_VFIO_TPUS: Final = ("v5e", "v5p", "v6e", "7x")


def vfio_foreign_group(case: Case) -> Iterator[Finding]:
    """A group that is no TPU's: tools that count /dev/vfio/N take it for one."""
    for found in case.host.accelerators:
        devices = [_named(device) for device in case.host.pci if device.address in found.addresses]
        if found.subsystem == "vfio" and devices:
            yield Finding(
                "vfio-foreign-group", Severity.INFO, found.path, "no TPU", ", ".join(devices),
                why="tools that count the nodes in /dev/vfio take it for a TPU",
                evidence=(seen(found.source, ", ".join(found.addresses)),),
            )  # fmt: skip


def vfio_control_mode(case: Case) -> Iterator[Finding]:
    """Who cannot open the control node cannot use any group."""
    groups = [node for node in case.host.nodes if _is_group(node)]
    if not groups:
        return
    node = case.host.node(_CONTROL)
    if node is None:
        if case.host.knows(_CONTROL) and case.host.node("/dev/iommu") is None:
            yield Finding(
                "vfio-control-mode", Severity.ERROR, _CONTROL, "to be there", "missing",
                why="groups have nodes, and no container can be made for them", hint="modprobe vfio",
                evidence=(seen(groups[0].path, groups[0].number),),
            )  # fmt: skip
        return
    accessible = _may_open(case, node)
    if accessible is not True:
        severity = Severity.ERROR if accessible is False else Severity.WARNING
        who = f"uid {node.uid} and gid {node.gid}" if node.mode & 0o060 == 0o060 else f"uid {node.uid} alone"
        yield Finding(
            "vfio-control-mode", severity, _CONTROL, "to open for reading and writing", f"{node.mode:04o}: for {who}",
            hint=f"chmod 0666 {_CONTROL} (it gives no access by itself; that is the groups' modes' to give)",
            evidence=(seen(_CONTROL, f"{node.mode:04o} {node.uid}:{node.gid}"),),
        )  # fmt: skip


def vfio_group_not_viable(case: Case) -> Iterator[Finding]:
    """A member that another driver holds: opening the group fails, or setting its IOMMU does."""
    for group in case.host.iommu_groups:
        members = _members(case, group)
        others = [device for device in members if device.driver not in _HARMLESS]
        if others and any(device.driver == _VFIO for device in members):
            address = others[0].address
            yield Finding(
                "vfio-group-not-viable", Severity.ERROR, f"/dev/vfio/{group.number}",
                "every device of the group without a driver or bound to vfio-pci",
                ", ".join(f"{_named(device)} is bound to {device.driver}" for device in others),
                hint=f"echo vfio-pci > /sys/bus/pci/devices/{address}/driver_override; "
                f"echo {address} > /sys/bus/pci/devices/{address}/driver/unbind; echo {address} > /sys/bus/pci/drivers_probe",
                evidence=tuple(seen(f"{device.source}/driver", device.driver) for device in others),
            )  # fmt: skip


def iommu_group_shared(case: Case) -> Iterator[Finding]:
    """Several devices in a group that is handed out: who gets one gets them all."""
    for group in case.host.iommu_groups:
        members = [device for device in _members(case, group) if not _is_bridge(device)]
        if len(members) > 1 and any(device.driver == _VFIO for device in members):
            yield Finding(
                "iommu-group-shared", Severity.WARNING, f"/dev/vfio/{group.number}", "one device in the group",
                ", ".join(_named(device) for device in members),
                why="who opens the group has all of them",
                hint="put the devices behind other root ports, or turn ACS on in the firmware's settings",
                evidence=(seen(f"{group.source}/devices", ", ".join(group.members)),),
            )  # fmt: skip


def iommu_off(case: Case) -> Iterator[Finding]:
    """Devices that are to be used through vfio, and no IOMMU group for them."""
    grouped = {address for group in case.host.iommu_groups for address in group.members}
    without = [
        device
        for device in case.host.pci
        if device.driver == _VFIO and device.address not in grouped and case.host.knows(f"{device.source}/iommu_group")
    ]
    if case.details.devices.iommu_groups == 0 and case.host.knows("/sys/kernel/iommu_groups"):
        wanting = {chip.address for chip in case.host.tpus if chip.generation in _VFIO_TPUS}
        without += [device for device in case.host.pci if device.address in wanting and device not in without]
    line = case.details.system.command_line
    for device in without:
        yield Finding(
            "iommu-off", Severity.ERROR, device.address, "an IOMMU group", "none",
            why="vfio gives a device to nobody without an IOMMU",
            hint="turn VT-d or AMD-Vi on in the firmware's settings, and boot with intel_iommu=on iommu=pt",
            evidence=(seen(f"{device.source}/iommu_group", "absent"), *((seen("/proc/cmdline", line),) if line else ())),
        )  # fmt: skip


def _is_group(node: HostNode) -> bool:
    return node.path.removeprefix("/dev/vfio/").isdigit()


def _members(case: Case, group: IommuGroup) -> list[PciDevice]:
    return [device for device in case.host.pci if device.address in group.members]


def _is_bridge(device: PciDevice) -> bool:
    return device.class_code >> 8 == 0x0604


def _named(device: PciDevice) -> str:
    return f"{device.address} ({device.vendor:04x}:{device.device:04x})"


def _may_open(case: Case, node: HostNode) -> bool | None:
    """Whether the caller may open it, None where it is not known who that is and not everybody may."""
    if node.mode & 0o006 == 0o006:
        return True
    caller = case.details.system.caller
    if caller is None:
        return None
    if caller.uid == 0 and not caller.user_namespace:
        return True
    if caller.uid == node.uid:
        return node.mode & 0o600 == 0o600
    return node.gid in (caller.gid, *caller.gids) and node.mode & 0o060 == 0o060
