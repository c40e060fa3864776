"""NUMA nodes, from /sys/devices/system/node (Documentation/ABI/stable/sysfs-devices-node), and the CPUs that this process
may use.
"""

from __future__ import annotations

from devproxy.host.device_class import number_in
from devproxy.host.device_facts import Affinity, NumaNode
from devproxy.host.root import fact_path
from devproxy.host.sources.document import items, number, short

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.root import HostRoot

_NODES: Final = "/sys/devices/system/node"
_LIMIT: Final = 1 << 16
_MOST_CPUS: Final = 1 << 16


def read_numa(root: HostRoot) -> tuple[NumaNode, ...]:
    """The nodes, by number."""
    numbers = sorted(found for name in root.listdir(_NODES) if (found := number_in(name, "node")) is not None)
    return tuple(_read_node(root, each, f"{_NODES}/node{each}") for each in numbers)


def read_affinity(root: HostRoot) -> Affinity | None:
    """The CPUs that the process which probed may use; None when nobody asked."""
    document = root.read_fact("affinity")
    if not document:
        return None
    try:
        return Affinity(tuple(number(cpu) for cpu in items(document.get("cpus"))))
    except TypeError as error:
        root.note(fact_path("affinity"), f"cpus has {error}")
        return None


def parse_cpu_list(text: str) -> frozenset[int] | None:
    """The CPUs of the kernel's list format (`0-31,64-95`, cpuset(7)), or None if it is none. An empty one has no CPU."""
    cpus: set[int] = set()
    for part in text.strip().split(",") if text.strip() else ():
        first, dash, last = part.partition("-")
        low, high = number_in(first, ""), number_in(last, "") if dash else number_in(first, "")
        if low is None or high is None or not low <= high < _MOST_CPUS:
            return None
        cpus.update(range(low, high + 1))
    return frozenset(cpus)


def _read_node(root: HostRoot, each: int, directory: str) -> NumaNode:
    path = f"{directory}/cpulist"
    cpus = (root.read_text(path, _LIMIT) or "").strip()
    if parse_cpu_list(cpus) is None:
        root.note(path, f"no list of CPUs: {short(cpus)}")
        cpus = ""
    return NumaNode(each, cpus, _memory(root, f"{directory}/meminfo"), directory)


def _memory(root: HostRoot, path: str) -> int | None:
    """MemTotal in bytes: `Node 0 MemTotal:       32657540 kB`."""
    for line in (root.read_text(path, _LIMIT) or "").split("\n"):
        match line.split():
            case ["Node", _, "MemTotal:", kilobytes, "kB"] if kilobytes.isascii() and kilobytes.isdigit():
                return int(kilobytes[:15]) << 10
            case _:
                continue
    return None
