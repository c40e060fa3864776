"""What differs between two states of a machine, in the words of the domain: `devproxy diff` and `devproxy probe --watch` tell
it. Facts are compared one by one, each by what it is about and what was said of it.

What one side could not see, or never asked for, is no difference: absence counts where it was looked for (`Host.knows`).
"""

from __future__ import annotations

from devproxy.host.facts import Host
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final


class Difference(Record):
    """One difference. `kind` is the noun (`node`, `GPU`, `driver`), `subject` which one, by what names it on this machine:
    a path, a PCI address, a name. `field` is empty when it appeared (`before` is None) or is gone (`after` is None), else
    what of it changed.
    """

    kind: str
    subject: str
    field: str
    before: str | None
    after: str | None

    def describe(self) -> str:
        """`driver nvidia-uvm: major 510 -> 509`, `GPU 0000:18:00.0 is gone`."""
        named = f"{self.kind} {self.subject}" if self.subject else self.kind
        if self.field:
            return f"{named}: {self.field} {self.before or 'none'} -> {self.after or 'none'}"
        if self.before is None:
            return f"{named} appeared{f': {self.after}' if self.after else ''}"
        return f"{named} is gone{f' (was {self.before})' if self.before else ''}"


class Fact(Record):
    """What is compared: a noun, which one, what is said of it by field, and the path by which its absence is known (empty:
    it is known whenever others of its kind are).
    """

    kind: str
    subject: str
    fields: tuple[tuple[str, str], ...]
    where: str = ""

    @property
    def shown(self) -> str:
        """All that is said of it, in a line."""
        return ", ".join(f"{name} {value}" for name, value in self.fields if value)


def differences(before: Host, after: Host) -> tuple[Difference, ...]:
    """Everything that differs, in the order of the kinds, then of what it is about."""
    return compare(tuple(_facts(before)), tuple(_facts(after)), before, after)


def compare(old: tuple[Fact, ...], new: tuple[Fact, ...], before: Host, after: Host) -> tuple[Difference, ...]:
    """The differences between the facts of two states. What has no fact on one side, and may be there unseen, is left out."""
    known_before, known_after = {_key(fact): fact for fact in old}, {_key(fact): fact for fact in new}
    found: list[Difference] = []
    for key in dict.fromkeys((*known_before, *known_after)):
        was, now = known_before.get(key), known_after.get(key)
        if was is not None and now is not None:
            found += _changes(was, now)
        elif was is not None and _sees(after, was):
            found.append(Difference(was.kind, was.subject, "", was.shown, None))
        elif now is not None and _sees(before, now):
            found.append(Difference(now.kind, now.subject, "", None, now.shown))
    order = {kind: place for place, kind in enumerate(_KINDS)}
    return tuple(sorted(found, key=lambda each: order.get(each.kind, len(order))))


_KINDS: Final = (
    "kernel", "machine", "driver", "module", "NVIDIA driver", "NVIDIA parameter", "PCI device", "GPU", "MIG device", "NVSwitch",
    "TPU", "accelerator", "IOMMU group", "node", "link", "misc device", "limit", "NVML", "NVML's GPU", "library", "firmware", "service",
    "runtime", "CDI spec", "SELinux", "control groups", "NUMA node", "lock file", "who probed", "holder",
    "shared memory",
)  # fmt: skip


def _key(fact: Fact) -> tuple[str, str]:
    return fact.kind, fact.subject


def _sees(host: Host, fact: Fact) -> bool:
    """Whether a host without this fact would have had it."""
    if fact.kind in _DEEP and (host.details is None or _is_unseen(host, fact.kind)):
        return False
    return not fact.where or host.knows(fact.where)


def _changes(was: Fact, now: Fact) -> Iterator[Difference]:
    old, new = dict(was.fields), dict(now.fields)
    for name in dict.fromkeys((*old, *new)):
        first, second = old.get(name, ""), new.get(name, "")
        if first != second and not (_is_untold(was.kind, name, first) or _is_untold(was.kind, name, second)):
            yield Difference(was.kind, was.subject, name, first, second)


def _is_untold(kind: str, name: str, value: str) -> bool:
    """Whether a value only says that nobody could tell: a program that did not answer, a call that NVML refused."""
    if value == "unknown":
        return True
    return not value and ((kind, name) in _TOLD or (kind == "NVML's GPU" and name not in _MAY_LACK))


_TOLD: Final = frozenset((("runtime", "version"), ("NVML", "driver")))
# Where nothing is said because there is nothing.
_MAY_LACK: Final = ("MIG devices", "fabric")


def _facts(host: Host) -> Iterator[Fact]:
    from devproxy.host.difference_details import DETAILS

    for source in (_machine, _drivers, _nvidia, _devices, _nodes):
        yield from source(host)
    if host.details is not None:
        for _, read in DETAILS.values():
            yield from read(host.details)


def _machine(host: Host) -> Iterator[Fact]:
    if host.kernel:
        yield Fact("kernel", "", (("release", host.kernel),))
    if host.product_name:
        yield Fact("machine", "", (("product name", host.product_name),))
    for limit in host.limits:
        soft, hard = ("unlimited" if value is None else str(value) for value in (limit.soft, limit.hard))
        yield Fact("limit", limit.name, (("soft", soft), ("hard", hard)), limit.source)


def _drivers(host: Host) -> Iterator[Fact]:
    """Character drivers by name; one name may have several majors."""
    majors: dict[str, list[str]] = {}
    for line in host.character:
        majors.setdefault(line.name, []).append(str(line.major))
    for name, numbers in majors.items():
        yield Fact("driver", name, (("major", ", ".join(dict.fromkeys(numbers))),), "/proc/devices")
    for misc in host.misc:
        yield Fact("misc device", misc.name or f"10:{misc.minor}", (("minor", str(misc.minor)),), "/proc/misc")


def _nvidia(host: Host) -> Iterator[Fact]:
    if host.nvidia is None:
        return
    if host.nvidia.version:
        yield Fact("NVIDIA driver", "", (("version", host.nvidia.version),), "/proc/driver/nvidia/version")
    for name, value in host.nvidia.params:
        yield Fact("NVIDIA parameter", name, (("value", value),), "/proc/driver/nvidia/params")
    for gpu in host.nvidia.gpus:
        minor = "" if gpu.minor is None else str(gpu.minor)
        fields = (("index", str(gpu.rank)), ("minor", minor), ("UUID", gpu.uuid or ""), ("model", gpu.model))
        yield Fact("GPU", gpu.address, fields, f"/sys/bus/pci/devices/{gpu.address}")
    for mig in host.nvidia.mig:
        instances = (("GPU instance", str(mig.gpu_instance)), ("compute instance", str(mig.compute_instance)))
        yield Fact("MIG device", f"{mig.gpu}:{mig.rank}", instances, "/proc/driver/nvidia/capabilities")
    for switch in host.nvidia.switches:
        yield Fact("NVSwitch", switch, (), "/proc/driver/nvidia-nvswitch/devices")


def _devices(host: Host) -> Iterator[Fact]:
    for device in host.pci:
        identity = (("id", f"{device.vendor:04x}:{device.device:04x}"), ("driver", device.driver))
        yield Fact("PCI device", device.address, identity, f"/sys/bus/pci/devices/{device.address}")
    for chip in host.tpus:
        fields = (("generation", chip.generation), ("nodes", ", ".join(chip.nodes)), ("problem", chip.problem))
        yield Fact("TPU", chip.address, fields, f"/sys/bus/pci/devices/{chip.address}")
    for each in host.accelerators:
        yield Fact("accelerator", each.path, (("devices", ", ".join(each.addresses)),), each.path)
    for group in host.iommu_groups:
        yield Fact("IOMMU group", str(group.number), (("members", ", ".join(group.members)),), group.source)


def _nodes(host: Host) -> Iterator[Fact]:
    for node in host.nodes:
        number = (("number", f"{node.kind.value} {node.number}"), ("mode", f"{node.mode:04o}"))
        yield Fact("node", node.path, (*number, ("owner", f"{node.uid}:{node.gid}")), node.path)


def _is_unseen(host: Host, kind: str) -> bool:
    from devproxy.host.difference_details import DETAILS

    assert host.details is not None
    return not DETAILS[kind][0](host.details)


_DEEP: Final = frozenset(
    (
        "link", "module", "NVML", "NVML's GPU", "who probed", "library", "firmware", "service", "runtime", "CDI spec", "SELinux", "control groups",
        "NUMA node", "lock file", "holder", "shared memory",
    )
)  # fmt: skip
