"""What opening accelerators said, and who holds them. The errno tells the causes apart: EPERM is a control group's, EACCES
the mode's, ENXIO has no driver, ENODEV and EIO have one whose hardware failed, EBUSY has an owner.
"""

from __future__ import annotations

import stat

from devproxy.check.doctor.case import Case, seen
from devproxy.check.doctor.nvml import lost_gpus
from devproxy.check.finding import Evidence, Finding, Severity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.device_facts import Holder, Opening
    from devproxy.host.facts import HostNode

_LOST: Final = ("ENODEV", "EIO", "ETIMEDOUT")
_TOLD_ELSEWHERE: Final = ("ENXIO", "EPERM", "EACCES", "EBUSY", *_LOST)
# What nobody can share. Who holds a GPU beside nvidia-uvm computes with it; monitors (nvidia-persistenced, DCGM) do not.
_EXCLUSIVE: Final = ("/dev/accel", "/dev/vfio/", "/dev/hl", "/dev/apex_")
_SHARED: Final = ("/dev/vfio/vfio",)
_UVM: Final = "/dev/nvidia-uvm"
# What DCGM's diag (level 1) says of an NVIDIA node that it cannot read.
_DCGM_NO_ACCESS: Final = "DCGM_FR_NO_ACCESS_TO_FILE"
_NAMED: Final = 3


def open_no_driver(case: Case) -> Iterator[Finding]:
    """ENXIO: nobody registered that number."""
    for opening in _openings(case, ("ENXIO",)):
        node = case.host.node(opening.path)
        driver = case.host.driver_of(node.number.major) if node is not None else None
        known = f"major of {driver}" if driver else "a major that no driver has"
        number = f"{node.number}, {known}" if node is not None else "a number that was not seen"
        evidence = (seen(opening.source, opening.errno), seen("/proc/devices", known))
        yield Finding(
            "open-no-driver", Severity.ERROR, opening.path, "a driver behind the node", f"{number}: ENXIO",
            why="the kernel knows no device of this number", hint=_load(opening.path), evidence=evidence,
        )  # fmt: skip


def open_denied_by_cgroup(case: Case) -> Iterator[Finding]:
    """EPERM: a device filter. A mode says EACCES."""
    hint = "give the device to the container: --device, linux.resources.devices, or a CDI device of the runtime"
    for opening in _openings(case, ("EPERM",)):
        yield Finding(
            "open-denied-by-cgroup", Severity.ERROR, opening.path, "the device filter to allow rw", "EPERM",
            why="opening was denied though a mode would have said EACCES", hint=hint,
            evidence=(seen(opening.source, opening.errno), *_node_evidence(case, opening.path)),
            reference=_DCGM_NO_ACCESS if opening.path.startswith("/dev/nvidia") else "",
        )  # fmt: skip


def open_denied_by_mode(case: Case) -> Iterator[Finding]:
    """EACCES: the mode, or a mount with nodev."""
    for opening in _openings(case, ("EACCES",)):
        node = case.host.node(opening.path)
        hint = f"ls -l {opening.path}; findmnt -T {opening.path} (nodev denies every device)"
        if node is not None and not node.mode & 0o006 and node.mode & 0o060:
            hint = f"join group {_group(case, node.gid)}: usermod -aG {_group(case, node.gid)} USER, and log in again"
        yield Finding(
            "open-denied-by-mode", Severity.ERROR, opening.path, "to open for reading and writing", "EACCES",
            why="the mode, a security module, or a mount with nodev denies it", hint=hint,
            evidence=(seen(opening.source, opening.errno), *_node_evidence(case, opening.path)),
            reference=_DCGM_NO_ACCESS if opening.path.startswith("/dev/nvidia") else "",
        )  # fmt: skip


def device_lost(case: Case) -> Iterator[Finding]:
    """ENODEV, EIO, or no answer at all: the driver is there, its hardware is not. NVML may know it without opening."""
    yield from lost_gpus(case)
    for opening in _openings(case, _LOST):
        gpu = opening.path.startswith("/dev/nvidia")
        said = "no answer: open(2) hangs" if opening.errno == "ETIMEDOUT" else opening.errno
        yield Finding(
            "device-lost", Severity.ERROR, opening.path, "to open", said,
            why="its driver is loaded and cannot reach the hardware",
            hint="dmesg | grep -iE 'xid|fallen off|accel|vfio'; then reset or power-cycle the machine",
            evidence=(seen(opening.source, opening.errno), *_node_evidence(case, opening.path)),
            reference="Xid 79" if gpu else "",
        )  # fmt: skip


def open_failed(case: Case) -> Iterator[Finding]:
    """Any other errno, and a node that another device is behind by now."""
    for opening in case.details.devices.opens or ():
        node = case.host.node(opening.path)
        if opening.errno and opening.errno not in _TOLD_ELSEWHERE:
            found = opening.errno
        elif not opening.errno and node is not None and opening.number != str(node.number):
            found = f"opened {opening.number or 'no device'}, the node was {node.number}"
        else:
            continue
        yield Finding(
            "open-failed", Severity.ERROR, opening.path, "to open", found,
            hint=f"ls -l {opening.path}", evidence=(seen(opening.source, opening.errno or opening.number),),
        )  # fmt: skip


def device_busy(case: Case) -> Iterator[Finding]:
    """EBUSY, or a process that holds what cannot be shared."""
    severity = Severity.ERROR if case.before_job else Severity.WARNING
    busy = {opening.path: (seen(opening.source, opening.errno),) for opening in _openings(case, ("EBUSY",))}
    held = _held(case)
    for path in sorted({**busy, **held}):
        holders = held.get(path, ())
        evidence: tuple[Evidence, ...] = busy.get(path, ())
        evidence += tuple(seen(holder.source, _named(holder)) for holder in holders)
        who = ", ".join(_named(holder) for holder in holders[:_NAMED]) or "somebody who was not seen"
        more = f" and {len(holders) - _NAMED} more" if len(holders) > _NAMED else ""
        pids = " ".join(str(holder.pid) for holder in holders)
        yield Finding(
            "device-busy", severity, path, "to be free", f"held by {who}{more}",
            hint=f"ps -o pid,user,lstart,cmd -p {pids.replace(' ', ',')}" if pids else f"sudo fuser -v {path}",
            evidence=evidence,
        )  # fmt: skip


def holders_unknown(case: Case) -> Iterator[Finding]:
    """Processes that could not be looked into: who is not seen is unknown, not free."""
    holders = case.details.devices.holders
    if holders is None or holders.complete or not _has_nodes(case):
        return
    severity = Severity.INCONCLUSIVE if case.before_job else Severity.INFO
    found = holders.why or "not all processes could be looked into"
    yield Finding(
        "holders-unknown", severity, "/proc", "to see every process's descriptors", found,
        why="whether an accelerator is free cannot be told", hint="run it as root, outside containers",
        evidence=(seen(holders.source, f"unread: {holders.unread}"),),
    )  # fmt: skip


def _openings(case: Case, errnos: tuple[str, ...]) -> Iterator[Opening]:
    return (opening for opening in case.details.devices.opens or () if opening.errno in errnos)


def _held(case: Case) -> dict[str, tuple[Holder, ...]]:
    """The holders of each device that somebody else cannot use beside them."""
    found: dict[str, tuple[Holder, ...]] = {}
    holders = case.details.devices.holders
    for holder in holders.holders if holders is not None else ():
        for path in holder.paths:
            exclusive = path.startswith(_EXCLUSIVE) and path not in _SHARED
            if exclusive or (_is_gpu(path) and _UVM in holder.paths):
                found[path] = (*found.get(path, ()), holder)
    return found


def _is_gpu(path: str) -> bool:
    digits = path.removeprefix("/dev/nvidia")
    return digits != path and digits.isdigit()


def _named(holder: Holder) -> str:
    return f"{holder.name} (pid {holder.pid}, uid {holder.uid})"


def _node_evidence(case: Case, path: str) -> tuple[Evidence, ...]:
    node = case.host.node(path)
    return () if node is None else (seen(path, _described(node)),)


def _described(node: HostNode) -> str:
    return f"{node.kind.value}{stat.filemode(node.mode)[1:]} {node.uid}:{node.gid} {node.number}"


def _group(case: Case, gid: int) -> str:
    caller = case.details.system.caller
    names = {number: name for name, number in caller.groups} if caller is not None else {}
    return names.get(gid, str(gid))


def _load(path: str) -> str:
    if path.startswith("/dev/nvidia-uvm"):
        return "modprobe nvidia-uvm && nvidia-modprobe -u -c 0"
    if path.startswith("/dev/nvidia"):
        return "modprobe nvidia && nvidia-modprobe -c 0"
    return (
        "load the device's driver, or remove the stale node"
        if not path.startswith("/dev/vfio/")
        else "modprobe vfio-pci"
    )


def _has_nodes(case: Case) -> bool:
    from devproxy.host.accelerator_nodes import accelerator_nodes

    return bool(accelerator_nodes(case.host.nodes))
