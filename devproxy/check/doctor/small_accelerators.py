"""Coral Edge TPUs and NPUs: whether what their driver holds can be opened. The kernel itself makes their nodes (devtmpfs), when the
driver has registered the device; there is no tool that makes them later.
"""

from __future__ import annotations

from devproxy.check.doctor.case import Case, seen, unknown
from devproxy.check.doctor.identities import module_is_loaded
from devproxy.check.finding import Finding, Severity
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.device_facts import ClassNode
    from devproxy.host.facts import PciDevice

_ACCELERATOR: Final = 0x12  # the base class of PCI of which `driver-not-loaded` tells


class Family(Record):
    """Devices of one driver: what they are, the driver's and the module's name, the class in sysfs, PCI ids (vendor, device), and
    why the driver mostly refuses one.
    """

    what: str
    driver: str
    class_name: str
    ids: frozenset[tuple[int, int]]
    reason: str


FAMILIES: Final = (
    Family(
        "Coral Edge TPU", "apex", "apex", frozenset(((0x1AC1, 0x089A),)),
        "it does not come out of reset (-110): power, a slot without MSI-X, or a virtual machine that hides its registers",
    ),
    Family(
        "Intel NPU", "intel_vpu", "accel",
        frozenset((0x8086, device) for device in (0x7D1D, 0xAD1D, 0x643E, 0xB03E, 0xFD3E, 0xD71D)),
        "its firmware is not there (/lib/firmware/intel/vpu) or is older than the driver wants",
    ),
    Family(
        "AMD NPU", "amdxdna", "accel",
        frozenset((0x1022, device) for device in (0x1502, 0x17F0, 0x17F1, 0x17F2, 0x17F3, 0x1B0A)),
        "its firmware is not there (/lib/firmware/amdnpu), or the IOMMU is off, without which it has no shared addresses",
    ),
)  # fmt: skip


def accelerator_node_missing(case: Case) -> Iterator[Finding]:
    """A Coral or an NPU whose module is loaded, and which cannot be opened: nothing was registered, or there is no node for it."""
    if case.host.coverage is not None or case.host.details is None or case.details.system.containers:
        return  # a report shows no classes; a container has the nodes that it was given
    for device in case.host.pci:
        family = _family_of(case, device)
        if family is None:
            continue
        if not case.host.knows(f"/sys/class/{family.class_name}"):
            why = f"what {family.driver} has registered was not seen"
            yield unknown("accelerator-node-missing", f"/sys/class/{family.class_name}", why)
            continue
        registered = [each for each in case.details.devices.class_devices if each.address == device.address]
        if not registered:
            yield _unregistered(device, family)
        for each in registered:
            if case.host.node(each.path) is None and case.host.knows(each.path) and not _is_stray(case, each.path):
                yield _without_node(device, family, each)


def _family_of(case: Case, device: PciDevice) -> Family | None:
    """The family of a device that its driver has, or was there to take and refused."""
    for family in FAMILIES:
        if device.driver:
            if device.driver == family.driver:
                return family
        elif (device.vendor, device.device) in family.ids and device.class_code >> 16 != _ACCELERATOR:
            return family if module_is_loaded(case.host, family.driver) is True else None
    return None


def _unregistered(device: PciDevice, family: Family) -> Finding:
    bound = f"DRIVER={device.driver}" if device.driver else f"no DRIVER line; module {family.driver} is loaded"
    return Finding(
        "accelerator-node-missing", Severity.ERROR, device.address, f"a device of the driver {family.driver}",
        f"none in /sys/class/{family.class_name}",
        why=f"{family.what}: the driver could not start it. Mostly {family.reason}",
        hint=f"journalctl -k -g '{family.driver}|{device.address}'; then modprobe -r {family.driver} && modprobe {family.driver}",
        evidence=(seen(f"{device.source}/uevent", bound), seen(f"/sys/class/{family.class_name}", f"nothing of {device.address}")),
    )  # fmt: skip


def _without_node(device: PciDevice, family: Family, registered: ClassNode) -> Finding:
    number = f"$(tr : ' ' < {registered.source}/dev)"
    return Finding(
        "accelerator-node-missing", Severity.ERROR, registered.path, f"the node of {family.what} {device.address}", "nothing",
        why=f"{family.driver} has registered the device; the kernel makes its node in devtmpfs, and something took it away",
        hint=f"findmnt /dev (devtmpfs?); mkdir -p {registered.path.rpartition('/')[0]}; mknod {registered.path} c {number}; udevadm trigger --action=add {registered.source}",
        evidence=(seen(registered.source, device.address), seen(registered.path, "absent")),
    )  # fmt: skip


def _is_stray(case: Case, path: str) -> bool:
    """Whether something else is at the path, of which `node-kind-wrong` tells."""
    return any(stray.path == path for stray in case.host.strays)
