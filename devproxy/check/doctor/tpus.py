"""TPUs: which they are, whether all are of one kind, and what libtpu's lock file says."""

from __future__ import annotations

from devproxy.check.doctor.case import Case, seen
from devproxy.check.finding import Finding, Severity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.facts import PciDevice

_GOOGLE: Final = 0x1AE0
# Base classes that Google's chips have: none, and accelerator. Its network cards and disks have their own.
_CLASSES: Final = (0xFF, 0x12)
# The physical functions that chips are cut from are none themselves.
_PHYSICAL: Final = (0x006E,)


def tpu_generation_unknown(case: Case) -> Iterator[Finding]:
    """A function of Google's that may be a TPU that is newer than this program."""
    from devproxy.host.tpu import generation_of

    for device in case.host.pci:
        candidate = device.vendor == _GOOGLE and device.class_code >> 16 in _CLASSES
        if candidate and not generation_of(device) and device.device not in _PHYSICAL:
            yield Finding(
                "tpu-generation-unknown", Severity.WARNING, device.address, "the id of a TPU that is known",
                f"1ae0:{device.device:04x}, class {device.class_code:06x}",
                why="a chip of an unknown generation is not planned for",
                hint="a newer devproxy may know it; else please report the id",
                evidence=(seen(f"{device.source}/uevent", f"PCI_ID=1AE0:{device.device:04X}"),),
            )  # fmt: skip


def tpu_chips_mixed(case: Case) -> Iterator[Finding]:
    """Chips of several generations: libtpu takes one kind for all."""
    generations = sorted({chip.generation for chip in case.host.tpus})
    if len(generations) > 1:
        yield Finding(
            "tpu-chips-mixed", Severity.WARNING, "/sys/bus/pci/devices", "chips of one generation",
            ", ".join(generations), why="libtpu and tpu-info take all chips of a host for one kind",
            hint="give a container the chips of one generation alone: TPU_VISIBLE_CHIPS",
            evidence=tuple(seen(chip.source, chip.generation) for chip in case.host.tpus),
        )  # fmt: skip


def tpu_chip_unusable(case: Case) -> Iterator[Finding]:
    """A chip with a driver that nevertheless cannot be used; the probe says why."""
    if case.host.coverage is not None:
        return  # a report that does not show the class, the groups or the nodes says nothing of them
    for chip in case.host.tpus:
        if chip.problem and chip.driver and case.host.knows("/sys/class/accel") and case.host.knows("/dev/vfio"):
            yield Finding(
                "tpu-chip-unusable", Severity.ERROR, chip.address, "nodes that give access to the chip", chip.problem,
                hint="ls -l /dev/accel* /dev/vfio; restart the VM if the node never came",
                evidence=(seen(chip.source, f"{chip.generation}, driver {chip.driver}"),),
            )  # fmt: skip


def tpu_lockfile_stale(case: Case) -> Iterator[Finding]:
    """A lock file that nobody holds: it keeps other users from their TPUs (fs.protected_regular, sticky /tmp)."""
    lock = case.details.devices.tpu_lock
    if lock is None or not case.host.tpus:
        return
    holders = case.details.devices.holders
    busy = lock.held is not False or (holders is not None and any(_holds_tpu(case, path) for path in _paths(case)))
    if busy and lock.kind == "file":
        return
    caller = case.details.system.caller
    own = caller is not None and caller.uid == lock.uid and lock.kind == "file"
    certain = holders is not None and holders.complete
    severity = Severity.INFO if own else Severity.ERROR if certain else Severity.WARNING
    nobody = ", held by nobody" if lock.kind == "file" else ", which cannot be locked"
    found = f"{lock.kind} of uid {lock.uid}, mode {lock.mode:04o}{nobody}"
    doubt = "" if certain else "; not every process could be looked into"
    yield Finding(
        "tpu-lockfile-stale", severity, lock.path, "no lock file, or one that somebody holds", found,
        why=f"libtpu says `already in use` to every other user{doubt}", hint=f"sudo rm {lock.path}",
        evidence=(seen(lock.source, f"held: {lock.held}"), seen("/proc/locks", "no lock of its inode")),
    )  # fmt: skip


def accel_is_not_tpu(case: Case) -> Iterator[Finding]:
    """DRM's accelerators have the name and the class that Google's had first."""
    for found in case.host.accelerators:
        if found.subsystem == "accel":
            devices = [each for each in case.host.pci if each.address in found.addresses]
            yield Finding(
                "accel-is-not-tpu", Severity.INFO, found.path, "no TPU", _described(devices),
                why="tools that count /dev/accel* take it, or its directory, for a TPU",
                evidence=(seen(found.source, ", ".join(found.addresses) or "no PCI function"),),
            )  # fmt: skip


def _described(devices: list[PciDevice]) -> str:
    named = (f"{each.address} ({each.vendor:04x}:{each.device:04x}, {each.driver or 'no driver'})" for each in devices)
    return ", ".join(named) or "no PCI function known"


def _paths(case: Case) -> tuple[str, ...]:
    holders = case.details.devices.holders
    return () if holders is None else tuple(path for holder in holders.holders for path in holder.paths)


def _holds_tpu(case: Case, path: str) -> bool:
    return any(path in chip.nodes for chip in case.host.tpus)
