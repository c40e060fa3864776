"""The mount table of the expected root against that of the observed one.

Compared are mount points, classes of types, how many are stacked, and the flags in force. Ids, devices and sources
differ from target to target and are not looked at. What the host itself brings is no difference: the flags that a bind
inherits from its source's mount, and what is mounted below a recursive bind.
"""

from __future__ import annotations

import os

from devproxy.check.finding import Finding, error
from devproxy.check.host_mounts import HostMounts
from devproxy.check.mount_table import BIND, flags_in_force, parent, type_class
from devproxy.check.side import Side
from devproxy.linux.mountinfo import MountLine
from devproxy.outcome import Result
from devproxy.plan.plan import Plan
from devproxy.plan.steps import Bind, Cover, Mask, MountFilesystem, MountRoot, SealPath
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_ATIME: Final = frozenset({"noatime", "relatime", "strictatime"})
# statvfs(3); the last three are Linux's own (include/linux/statfs.h).
_INHERITED: Final = {
    os.ST_RDONLY: "ro",
    os.ST_NOSUID: "nosuid",
    os.ST_NODEV: "nodev",
    os.ST_NOEXEC: "noexec",
    os.ST_NODIRATIME: "nodiratime",
    os.ST_NOATIME: "noatime",
    os.ST_RELATIME: "relatime",
    0x2000: "nosymfollow",
}


class Asked(Record):
    """What the plan says about a mount point: who asks for the mount, and the flags that a bind may bring along."""

    why: str
    inherits: frozenset[str]


class MountComparison(Record):
    """The differences, how many mounts were compared, and how many exist on the observed side alone with good
    reason.
    """

    findings: list[Finding]
    compared: int
    below_binds: int


def compare_mounts(plan: Plan, expected: Side, observed: Side, hosts: HostMounts) -> MountComparison:
    """Compare the two mount tables."""
    asked = _asked(plan, observed)
    host_places = frozenset().union(*hosts.shown.values())
    copied = _copied(observed)
    findings: list[Finding] = []
    tolerated = compared = 0
    for point in sorted(expected.table.points | observed.table.points):
        wanted, found = expected.own_mounts(point), observed.own_mounts(point)
        compared += len(wanted)
        entry = asked.get(point, _NOBODY)
        if point in host_places:
            # What a recursive bind brought along lies below what was mounted here since.
            brought = max(0, len(found) - len(wanted))
            tolerated += brought
            found = found[brought:]
        for want, line in zip(wanted, found, strict=False):
            findings += _compare(want, line, entry)
        for want in wanted[len(found) :]:
            findings.append(
                error("mount-missing", point, f"{type_class(want.fstype)} mounted", "not mounted", entry.why)
            )
        surplus = [] if point in copied else found[len(wanted) :]
        findings += [error("mount-unexpected", point, "nothing", f"{line.fstype} mounted") for line in surplus]
    return MountComparison(findings, compared, tolerated)


_NOBODY: Final = Asked("", frozenset())


def _compare(want: MountLine, line: MountLine, asked: Asked) -> list[Finding]:
    point, kind = want.mount_point, type_class(want.fstype)
    if kind not in (BIND, type_class(line.fstype)):
        return [error("mount-type-differs", point, kind, line.fstype, asked.why)]
    wanted, found = flags_in_force(want), flags_in_force(line)
    lost, extra = wanted - found, found - wanted
    if kind == BIND:
        extra -= asked.inherits
        lost -= _ATIME if found & _ATIME <= asked.inherits else frozenset()
    if not lost and not extra:
        return []
    return [error("mount-flags-differ", point, _words(wanted), _words(found), asked.why)]


def _words(flags: frozenset[str]) -> str:
    return ",".join(("ro" if "ro" in flags else "rw", *sorted(flags - {"ro"})))


def _asked(plan: Plan, observed: Side) -> dict[str, Asked]:
    asked: dict[str, Asked] = {}
    real = observed.places.real
    for step in plan.steps:
        match step:
            case MountFilesystem():
                asked[real(step.path)] = Asked(str(step.reason), frozenset())
            case Bind():
                cleared = {"ro" if a.name == "RDONLY" else str(a.name).lower() for a in step.options.change.clear}
                asked[real(step.path)] = Asked(str(step.reason), _inherited(step.source) - cleared)
            case MountRoot():
                asked["/"] = Asked(str(step.reason), _inherited(step.source))
            case _:
                pass
    return asked


def _copied(observed: Side) -> frozenset[str]:
    """The places of masks, covers and read-only binds that a read-only bind of a directory further up has copied since:
    how many of them there are is the kernel's to say, and so is how many there are then.
    """
    copied: set[str] = set()
    sealed: set[str] = set()
    for outcome in reversed(observed.root.outcomes):
        step = outcome.step
        if isinstance(step, Mask | Cover | SealPath) and outcome.result is not Result.SKIPPED:
            place = above = observed.places.mounted(step.path)
            while sealed and above != "/":
                above = parent(above)
                if above in sealed:
                    copied.add(place)
            if isinstance(step, SealPath):
                sealed.add(place)
    return frozenset(copied)


def _inherited(source: str) -> frozenset[str]:
    """The flags of the host's mount that holds `source`: a bind starts with them (open_tree(2))."""
    try:
        bits = os.statvfs(source).f_flag
    except OSError:
        return frozenset()
    flags = frozenset(name for bit, name in _INHERITED.items() if bits & bit)
    return flags if flags & _ATIME else flags | {"strictatime"}
