"""Devices, drivers and nodes that came, went or changed since before. A device is known by where it is on the bus and, a GPU, by its
UUID: another UUID at the same address is another board.
"""

from __future__ import annotations

from devproxy.check.doctor.case import seen, unknown
from devproxy.check.finding import Finding, Severity
from devproxy.errors import InputError
from devproxy.host.accelerator_nodes import accelerator_nodes
from devproxy.jobs.health.case import JobCase, Unit, units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.facts import Host
    from devproxy.host.shared_memory_facts import Clock

_GPUS: Final = "/proc/driver/nvidia/gpus"
_PCI: Final = "/sys/bus/pci/devices"


def require_same(before: Host, now: Host, name: str) -> None:
    """That `before`, from the file `name`, is the same machine.

    Errors: InputError where they have GPUs at the same addresses, and not one UUID in common; or where `now` was earlier.
    """
    first, second = _clock(before), _clock(now)
    if first and second and first.boot == second.boot and first.monotonic > second.monotonic:
        raise InputError(f"{name!r} was made after this host was looked at", hint="they are the wrong way round")
    then, here = _uuids(before), _uuids(now)
    if then.keys() & here.keys() and not {*then.values()} & {*here.values()}:
        raise InputError(
            f"not one GPU of {name!r} is on this host: {', '.join(sorted(then.values())[:3])} there, {', '.join(sorted(here.values())[:3])} here",
            hint="it is of another machine, or it was anonymized: 'devproxy check --before FILE' makes one",
        )


def _clock(host: Host) -> Clock | None:
    return host.details.system.clock if host.details is not None else None


def _uuids(host: Host) -> dict[str, str]:
    return {gpu.address: gpu.uuid for gpu in (host.nvidia.gpus if host.nvidia is not None else ()) if gpu.uuid}


def device_lost_since(case: JobCase) -> Iterator[Finding]:
    """A GPU or TPU chip that was there, as a recording or the job's lease says, and is not."""
    now = units(case.host)
    then = units(case.before) if case.before is not None else _leased(case)
    for unit in then:
        if any(_is_same(unit, each) for each in now):
            continue
        subject = unit.address or unit.name
        if not case.host.knows(_PCI) or (unit.kind == "GPU" and not case.host.knows(_GPUS)):
            yield unknown("device-lost-since", subject, f"{_PCI} could not be seen: it may be there still")
            continue
        on_bus = any(device.address == unit.address for device in case.host.pci)
        found = "its PCI function is there, its driver does not have it" if on_bus else "not on this host"
        other = next((each for each in now if each.address == unit.address), None)
        if other is not None:
            found = f"another one is in its place: {other.describe()}"
        yield Finding(
            "device-lost-since", Severity.ERROR, subject, unit.describe(), found,
            why="it fell off the bus, was removed, or its driver let it go, since the job began",
            hint=f"journalctl -k -g 'Xid|{unit.address[5:] or 'NVRM'}|pciehp|AER'; power-cycle the machine, and look at the board's seat and power",
            evidence=(seen("before", unit.describe()), seen(_PCI, subject if on_bus else f"no {subject}")),
            reference="DCGM_FR_FALLEN_OFF_BUS, Xid 79" if unit.kind == "GPU" else "",
        )  # fmt: skip


def _leased(case: JobCase) -> tuple[Unit, ...]:
    """The devices that a lease had, as far as their names tell what they are."""
    return tuple(
        Unit("GPU" if name.startswith("GPU-") else "device", name, "", "", frozenset((name,)), frozenset())
        for name in sorted(case.devices or ())
    )


def device_appeared_since(case: JobCase) -> Iterator[Finding]:
    """A GPU or TPU chip that was not there before."""
    if case.before is None:
        return
    then = units(case.before)
    hidden = not case.before.knows(_PCI) or not case.before.knows(_GPUS)
    for unit in units(case.host):
        if not hidden and not any(_is_same(unit, each) for each in then):
            yield Finding(
                "device-appeared-since", Severity.INFO, unit.address, "the devices of before", unit.describe(),
                why="it was plugged in, or its driver took it, since the recording of before",
                evidence=(seen(_PCI, unit.address),),
            )  # fmt: skip


def _is_same(one: Unit, other: Unit) -> bool:
    """A GPU whose UUID is not told (it may be dying) is taken for the one that was at its address."""
    if not one.address:
        return one.name in (other.name, other.address)
    if one.address != other.address:
        return False
    return one.name == other.name or one.address in (one.name, other.name)


def driver_changed_since(case: JobCase) -> Iterator[Finding]:
    """Another version of the NVIDIA driver, or a device that another driver has."""
    if case.before is None:
        return
    then, now = _version(case.before), _version(case.host)
    if then and now != then and (now or case.host.knows("/proc/driver/nvidia/version")):
        yield Finding(
            "driver-changed-since", Severity.WARNING, "/proc/driver/nvidia/version", then, now or "no NVIDIA driver",
            why="the driver was loaded anew, or unloaded, since the recording of before",
            hint="journalctl -k -g 'NVRM: loading'; what was built against the one before may fail",
            evidence=(seen("before", then), seen("/proc/driver/nvidia/version", now or "not there")),
        )  # fmt: skip
    drivers = {device.address: device for device in case.before.pci}
    accelerators = {unit.address for unit in (*units(case.before), *units(case.host))}
    for device in case.host.pci:
        before = drivers.get(device.address)
        if before is None or device.address not in accelerators or before.driver == device.driver:
            continue
        yield Finding(
            "driver-changed-since", Severity.WARNING, device.address, before.driver or "no driver",
            device.driver or "no driver",
            why="somebody bound it to another driver (vfio-pci for a virtual machine), or let it go",
            hint=f"ls -l /sys/bus/pci/devices/{device.address}/driver; to give it back: echo {device.address} > /sys/bus/pci/drivers_probe",
            evidence=(seen("before", before.driver), seen(device.source, device.driver)),
        )  # fmt: skip


def _version(host: Host) -> str:
    return host.nvidia.version if host.nvidia is not None else ""


def node_major_moved_since(case: JobCase) -> Iterator[Finding]:
    """An accelerator's node with another number than before: who was given the old number by a container's rules is shut out."""
    if case.before is None:
        return
    then = {node.path: node for node in accelerator_nodes(case.before.nodes)}
    for node in accelerator_nodes(case.host.nodes):
        before = then.get(node.path)
        if before is not None and before.number != node.number:
            yield Finding(
                "node-major-moved-since", Severity.WARNING, node.path, str(before.number), str(node.number),
                why="its driver was loaded anew and got another major: containers that run have rules for the old one",
                hint="start containers that use it anew; CDI specs with numbers in them: nvidia-ctk cdi generate",
                evidence=(seen("before", before.number), seen(node.source, node.number)),
            )  # fmt: skip
