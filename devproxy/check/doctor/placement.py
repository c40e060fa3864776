"""Drivers that hold nothing, links that lead nowhere, processors that are far away."""

from __future__ import annotations

from devproxy.check.doctor.case import Case, seen, unknown
from devproxy.check.doctor.identities import module_is_loaded
from devproxy.check.finding import Evidence, Finding, Severity
from devproxy.host.accelerator_nodes import accelerator_nodes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.facts import PciDevice

_NVIDIA: Final = 0x10DE
_LINKS: Final = "/dev/char"
_SHOWN: Final = 2


def driver_not_loaded(case: Case) -> Iterator[Finding]:
    """An accelerator on the PCI bus that no driver is bound to."""
    from devproxy.host.tpu import chip_functions, generation_of

    chips = chip_functions(case.host.pci)
    for device in case.host.pci:
        generation = generation_of(device) if device in chips else ""
        if device.driver or not (generation or _is_accelerator(device)):
            continue
        if not case.host.knows(f"{device.source}/driver"):
            # A report that lists functions without their drivers; it may show that the driver's module is not loaded.
            if (
                device.vendor == _NVIDIA
                and case.host.coverage is not None
                and module_is_loaded(case.host, "nvidia") is False
            ):
                yield _without_module(device)
            continue
        kind = f"TPU {generation}" if generation else "NVIDIA GPU" if device.vendor == _NVIDIA else "accelerator"
        yield Finding(
            "driver-not-loaded", Severity.ERROR, device.address, "a driver bound to it", "none",
            why=f"{kind} {device.vendor:04x}:{device.device:04x} is on the PCI bus",
            hint=_driver_hint(case, device, generation),
            evidence=(seen(f"{device.source}/uevent", "no DRIVER line"), *_major_evidence(case, device)),
        )  # fmt: skip


def _without_module(device: PciDevice) -> Finding:
    """No error: a GPU that is passed to a virtual machine needs no module of NVIDIA's here."""
    return Finding(
        "driver-not-loaded", Severity.WARNING, device.address, "the module nvidia", "not loaded",
        why=f"NVIDIA GPU {device.vendor:04x}:{device.device:04x} is on the PCI bus",
        hint="modprobe nvidia; dkms status; dmesg | grep -i nvrm", evidence=(seen("/proc/modules", "no nvidia"),),
    )  # fmt: skip


def dev_char_link_missing(case: Case) -> Iterator[Finding]:
    """NVIDIA's nodes without a link in /dev/char: systemd and runc find no device for their rules and drop them."""
    nodes = [node for node in accelerator_nodes(case.host.nodes) if node.path.startswith("/dev/nvidia")]
    if not nodes or case.host.details is None or case.details.system.containers:
        return
    links = case.details.devices.links
    if links is None:
        yield unknown("dev-char-link-missing", _LINKS, "the links of the nodes were not seen")
        return
    targets = {link.path: link.target for link in links if not link.dangling}
    numbers = {node.path: node.number for node in case.host.nodes}
    wrong = [node for node in nodes if numbers.get(targets.get(f"{_LINKS}/{node.number}", "")) != node.number]
    missing = [node for node in wrong if case.host.knows(f"{_LINKS}/{node.number}")]
    if missing:
        systemd = case.details.system.cgroups is not None and case.details.system.cgroups.manager == "systemd"
        named = ", ".join(f"{node.number} ({node.path})" for node in missing[:_SHOWN])
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        yield Finding(
            "dev-char-link-missing", Severity.ERROR if systemd else Severity.WARNING, _LINKS,
            "a link for each NVIDIA node", f"none for {named}{more}",
            why="containers under the systemd cgroup driver lose their GPUs at the next daemon-reload",
            hint="nvidia-ctk system create-dev-char-symlinks --create-all",
            evidence=tuple(seen(f"{_LINKS}/{n.number}", targets.get(f"{_LINKS}/{n.number}", "absent")) for n in missing),
        )  # fmt: skip


def numa_unbound(case: Case) -> Iterator[Finding]:
    """None of the processors that may be used is on the accelerator's NUMA node."""
    from devproxy.host.sources.numa import parse_cpu_list

    affinity = case.details.devices.affinity
    cpus = {node.number: parse_cpu_list(node.cpus) or frozenset() for node in case.details.devices.numa}
    if affinity is None or len(cpus) < 2:
        return
    ours = frozenset(affinity.cpus)
    for device in case.host.pci:
        near = cpus.get(device.numa_node)
        if near and not near & ours and _is_planned(case, device):
            node = next(each for each in case.details.devices.numa if each.number == device.numa_node)
            yield Finding(
                "numa-unbound", Severity.WARNING, device.address, f"processors of NUMA node {node.number} ({node.cpus})",
                f"processors {_ranges(affinity.cpus)}", why="every transfer crosses to another socket",
                hint=f"numactl --cpunodebind={node.number} --membind={node.number} COMMAND, or the container's cpuset",
                evidence=(seen(f"{device.source}/numa_node", node.number), seen(node.source, node.cpus)),
            )  # fmt: skip


def _is_accelerator(device: PciDevice) -> bool:
    """NVIDIA's display controllers, and what says of itself that it is an accelerator."""
    return (device.vendor == _NVIDIA and device.class_code >> 16 == 0x03) or device.class_code >> 16 == 0x12


def _is_planned(case: Case, device: PciDevice) -> bool:
    """Whether it is a GPU or TPU that containers are given."""
    known = {gpu.address for gpu in case.host.nvidia.gpus} if case.host.nvidia is not None else set()
    return device.address in known or any(device.address == chip.address for chip in case.host.tpus)


def _driver_hint(case: Case, device: PciDevice, generation: str) -> str:
    if generation in ("v5e", "v5p", "v6e", "7x"):
        path = f"/sys/bus/pci/devices/{device.address}/driver_override"
        return f"modprobe vfio-pci; echo vfio-pci > {path}; echo {device.address} > /sys/bus/pci/drivers_probe"
    if generation:
        return "use a VM image that has the TPU driver (tpu-ubuntu2204-base, v2-alpha-tpuv4)"
    if device.vendor == _NVIDIA:
        loaded = case.host.major_of("nvidia") is not None
        return "dmesg | grep -i NVRM (the driver is loaded and refused this GPU)" if loaded else "modprobe nvidia"
    return f"lspci -ks {device.address}; modprobe the module that it names"


def _major_evidence(case: Case, device: PciDevice) -> tuple[Evidence, ...]:
    if device.vendor != _NVIDIA:
        return ()
    major = case.host.major_of("nvidia")
    return (seen("/proc/devices", "no nvidia" if major is None else f"{major} nvidia"),)


def _ranges(cpus: tuple[int, ...]) -> str:
    """`0-3,8`."""
    parts: list[list[int]] = []
    for cpu in sorted(cpus):
        if parts and parts[-1][1] == cpu - 1:
            parts[-1][1] = cpu
        else:
            parts.append([cpu, cpu])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)
