"""Device nodes: whether they are there, and whether each is the device that its name says."""

from __future__ import annotations

from devproxy.check.doctor.case import Case, Check, seen
from devproxy.check.doctor.identities import (
    NVIDIA_MAJOR,
    driver_is_loaded,
    identity_of,
    is_nvidia,
    module_is_loaded,
    wanted_nodes,
)
from devproxy.check.finding import Evidence, Finding, Severity
from devproxy.host.accelerator_nodes import accelerator_nodes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.facts import Host, HostNode

_DEVICES: Final = "/proc/devices"
_MODPROBE: Final = "nvidia-modprobe -c 0 -u"


def uvm_not_loaded(case: Case) -> Iterator[Finding]:
    """The driver without its unified memory: nvidia-smi works, CUDA does not."""
    host = case.host
    if not driver_is_loaded(host) or host.major_of("nvidia-uvm") is not None:
        return
    loaded = module_is_loaded(host, "nvidia_uvm")
    listed = host.knows_entry(_DEVICES, "nvidia-uvm") and bool(host.character)
    if not (listed or loaded is False) or (loaded is True and host.coverage is not None):
        return  # a report may have cut the list of majors
    evidence = [seen(_DEVICES, "no nvidia-uvm")] if listed else []
    evidence += [seen("/proc/modules", "no nvidia_uvm")] if loaded is False else []
    yield Finding(
        "uvm-not-loaded", Severity.ERROR, "nvidia-uvm", "a major for nvidia-uvm", "none",
        why="the NVIDIA driver is loaded without nvidia-uvm: nvidia-smi works, CUDA does not",
        hint=f"modprobe nvidia-uvm && {_MODPROBE}", evidence=tuple(evidence),
    )  # fmt: skip


def node_missing(case: Case) -> Iterator[Finding]:
    """A device that the driver has, without a node."""
    strays = {stray.path for stray in case.host.strays}
    for wanted in wanted_nodes(case.host):
        if case.host.node(wanted.path) is not None or wanted.path in strays or not case.host.knows(wanted.path):
            continue
        yield Finding(
            "node-missing", Severity.ERROR if wanted.needed else Severity.WARNING, wanted.path,
            f"the node of {wanted.device}", "nothing", why=wanted.why, hint=_make(wanted.path, wanted.device.minor),
            evidence=(seen(wanted.source, wanted.why), *_major(case.host, wanted.device.driver)),
        )  # fmt: skip


def node_major_mismatch(case: Case) -> Iterator[Finding]:
    """A node whose major its driver does not have (any more): opening it says ENXIO, or opens another driver's device."""
    for node in accelerator_nodes(case.host.nodes):
        device = identity_of(node.path)
        if device is None or not node.number.major:
            continue
        major = case.host.major_of(device.driver)
        if major is None and device.driver == "nvidia":
            major = NVIDIA_MAJOR
        if major is None or major == node.number.major:
            continue
        owner = case.host.driver_of(node.number.major)
        whose = f", the major of {owner}" if owner else ""
        yield Finding(
            "node-major-mismatch", Severity.ERROR, node.path, f"major {major}", f"major {node.number.major}{whose}",
            why=f"{device.driver} has another major since the node was made: CUDA says 'unknown error'",
            hint=f"rm {node.path} && {_make(node.path, device.minor)}",
            evidence=(seen(node.path, node.number), *_major(case.host, device.driver)),
        )  # fmt: skip


def node_minor_wrong(case: Case) -> Iterator[Finding]:
    """A node of the right driver that is another of its devices."""
    for node in accelerator_nodes(case.host.nodes):
        device = identity_of(node.path)
        if device is None or node.number.minor == device.minor or not node.number.major:
            continue
        yield Finding(
            "node-minor-wrong", Severity.ERROR, node.path, f"minor {device.minor}", f"minor {node.number.minor}",
            why="the name says one device, the number another", hint=f"rm {node.path} && {_make(node.path, device.minor)}",
            evidence=(seen(node.path, node.number),),
        )  # fmt: skip


def node_major_zero(case: Case) -> Iterator[Finding]:
    """Major 0 is nobody's: a udev rule's %M of a module without a device."""
    for node in accelerator_nodes(case.host.nodes):
        if not node.number.major:
            device = identity_of(node.path)
            yield Finding(
                "node-major-zero", Severity.ERROR, node.path, "its driver's major", str(node.number),
                why="a udev rule or script made the node before it knew the major",
                hint=f"rm {node.path} && {_make(node.path, device.minor if device else node.number.minor)}",
                evidence=(seen(node.path, node.number), *(_major(case.host, device.driver) if device else ())),
            )  # fmt: skip


def node_kind_wrong(case: Case) -> Iterator[Finding]:
    """Something that is no character device where one belongs."""
    blocks = [(n.path, "a block device") for n in case.host.nodes if n.kind.value == "b" and identity_of(n.path)]
    for path, kind in (*((stray.path, stray.kind) for stray in case.host.strays), *blocks):
        device = identity_of(path)
        remove = f"rm -r {path}" if kind == "a directory" else f"rm {path}"
        yield Finding(
            "node-kind-wrong", Severity.ERROR, path, "a character device", kind,
            why="often a container engine made it: it makes a directory where the source of a volume is missing",
            hint=f"{remove} && {_make(path, device.minor)}" if device else remove, evidence=(seen(path, kind),),
        )  # fmt: skip


def node_duplicate(case: Case) -> Iterator[Finding]:
    """Two nodes of NVIDIA's that are one device."""
    first: dict[object, HostNode] = {}
    for node in accelerator_nodes(case.host.nodes):
        if not is_nvidia(node.path) or not node.number.major:
            continue
        other = first.setdefault(node.number, node)
        if other is not node:
            yield Finding(
                "node-duplicate", Severity.WARNING, node.path, "a device of its own", f"{node.number}, as {other.path}",
                why="two names are one device: a job that is given both has one", hint=f"ls -l {other.path} {node.path}",
                evidence=(seen(other.path, other.number), seen(node.path, node.number)),
            )  # fmt: skip


def _make(path: str, minor: int) -> str:
    """The command that makes a node."""
    if path.startswith("/dev/nvidia-uvm"):
        return "nvidia-modprobe -u -c 0"
    if path.startswith("/dev/nvidia-nvswitch"):
        return f"nvidia-modprobe -s -c {minor}"
    if path.startswith("/dev/nvidia-caps/"):
        return f"nvidia-modprobe -f /proc/driver/nvidia/capabilities/... (the file with DeviceFileMinor {minor})"
    if path.startswith("/dev/nvidia-modeset"):
        return "nvidia-modprobe -m"
    if path == "/dev/nvidiactl":
        return "nvidia-modprobe"
    if is_nvidia(path):
        return f"nvidia-modprobe -c {minor}"
    return f"udevadm trigger --action=add; ls -l {path}"


def _major(host: Host, driver: str) -> tuple[Evidence, ...]:
    major = host.major_of(driver)
    return (seen(_DEVICES, f"{major} {driver}"),) if major is not None else ()


NODE_CHECKS: Final[tuple[Check, ...]] = (
    Check("uvm-not-loaded", Severity.ERROR, "the NVIDIA driver without nvidia-uvm", uvm_not_loaded),
    Check("node-missing", Severity.ERROR, "a device without a node", node_missing),
    Check("node-kind-wrong", Severity.ERROR, "no device where one belongs", node_kind_wrong),
    Check("node-major-zero", Severity.ERROR, "a node with major 0", node_major_zero),
    Check("node-major-mismatch", Severity.ERROR, "a node with a major that its driver has not", node_major_mismatch),
    Check("node-minor-wrong", Severity.ERROR, "a node that is another device than its name says", node_minor_wrong),
    Check("node-duplicate", Severity.WARNING, "two nodes that are one device", node_duplicate),
)
