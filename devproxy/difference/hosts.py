"""Two recordings compared: what `devproxy.host.difference` finds, grouped, in the words that people have for it."""

from __future__ import annotations

from devproxy.difference.comparison import Comparison, Line, change
from devproxy.host.difference import Difference, differences
from devproxy.host.facts import Host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_GROUPS: Final = {
    "accelerators": ("GPU", "MIG device", "NVSwitch", "TPU", "accelerator", "PCI device", "IOMMU group", "NVML's GPU"),
    "drivers": ("NVIDIA driver", "driver", "NVML", "module", "NVIDIA parameter", "library", "firmware", "kernel"),
    "devices": ("node", "link", "misc device"),
}
_REST: Final = "system"
# Processes and their memory come and go: they are told last, and are no difference of the machine.
_MINOR: Final = {"holder": "processes", "shared memory": "shared memory"}
_ORDER: Final = (*_GROUPS, _REST, *_MINOR.values())


def compare_hosts(before: Host, after: Host) -> Comparison:
    """Everything that differs, and what only one of them could see."""
    lines = [_line(each, before, after) for each in differences(before, after)]
    kinds = [kind for group in _GROUPS.values() for kind in group]
    lines.sort(
        key=lambda line: (_ORDER.index(line.group), kinds.index(line.kind) if line.kind in kinds else len(kinds))
    )
    return Comparison("recording", tuple(lines), (*_unseen(before, after, "before"), *_unseen(after, before, "after")))


def _unseen(host: Host, other: Host, which: str) -> list[str]:
    theirs = {unseen.path for unseen in other.unseen}
    return [f"{each.path} ({which}): {each.why}" for each in host.unseen if each.path not in theirs]


def _line(each: Difference, before: Host, after: Host) -> Line:
    minor = each.kind in _MINOR
    group = _MINOR.get(each.kind) or next((name for name, kinds in _GROUPS.items() if each.kind in kinds), _REST)
    return Line(group, *each, text=_words(each, before, after), minor=minor)


def _words(each: Difference, before: Host, after: Host) -> str:
    if each.kind == "NVIDIA driver":
        return f"driver {change(each.before, each.after)}" if each.field else _came(each, "NVIDIA driver")
    if each.kind == "driver" and each.field == "major":
        return f"major of {each.subject} {change(each.before, each.after)}"
    if each.kind == "kernel" and each.field:
        return f"kernel {change(each.before, each.after)}"
    name = f"{each.kind} {each.subject}".strip()
    if each.kind in ("GPU", "TPU"):
        name = f"{each.kind} {_rank(each, before, after)}({each.subject})"
    return f"{name}: {each.field} {change(each.before, each.after)}" if each.field else _came(each, name)


def _came(each: Difference, name: str) -> str:
    if each.before is None:
        return f"{name}: new{f', {each.after}' if each.after else ''}"
    return f"{name}: gone{f', was {each.before}' if each.before else ''}"


def _rank(each: Difference, before: Host, after: Host) -> str:
    """The index that it had, or has now where it is new."""
    for host in (before, after):
        devices = host.tpus if each.kind == "TPU" else host.nvidia.gpus if host.nvidia else ()
        for device in devices:
            if device.address == each.subject:
                return f"{device.rank} "
    return ""
