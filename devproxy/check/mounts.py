"""The mount table of the expected root against that of the observed one.

Compared are mount points, classes of types, how many are stacked, and the flags in force. Ids, devices and sources
differ from target to target and are not looked at. What the host itself brings is no difference: the flags that a bind
inherits from its source's mount, and what is mounted below a recursive bind.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from itertools import islice, takewhile
from typing import Final, NamedTuple

from devproxy.check.finding import Finding, error
from devproxy.check.mount_table import BIND, flags_in_force, type_class
from devproxy.check.side import Side
from devproxy.linux.mountinfo import MountLine, parse_line
from devproxy.plan.plan import Plan
from devproxy.plan.steps import Bind, MountFilesystem, MountRoot

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


class Asked(NamedTuple):
    """What the plan says about a mount point: who asks for the mount, the flags that a bind may bring along, and the
    places below it where the host has mounts of its own.
    """

    why: str
    inherits: frozenset[str]
    below: frozenset[str]


class MountComparison(NamedTuple):
    """The differences, how many mounts were compared, and how many exist on the observed side alone with good
    reason.
    """

    findings: list[Finding]
    compared: int
    below_binds: int


def compare_mounts(plan: Plan, expected: Side, observed: Side) -> MountComparison:
    """Compare the two mount tables."""
    asked = _asked(plan, observed)
    host_places = frozenset().union(*(entry.below for entry in asked.values()))
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
        surplus = found[len(wanted) :]
        findings += [error("mount-unexpected", point, "nothing", f"{line.fstype} mounted") for line in surplus]
    return MountComparison(findings, compared, tolerated)


_NOBODY: Final = Asked("", frozenset(), frozenset())


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
    host, real = _HostMounts(), observed.places.real
    for step in plan.steps:
        match step:
            case MountFilesystem():
                place = real(step.path)
                asked[place] = Asked(str(step.reason), frozenset(), asked.get(place, _NOBODY).below)
            case Bind():
                cleared = {"ro" if a.name == "RDONLY" else str(a.name).lower() for a in step.options.change.clear}
                # Without root what the host has mounted below comes along (devproxy.without_root).
                recursive = step.options.recursive_bind or observed.root.rootless is not None
                place = real(step.path)
                inherits = _inherited(step.source) - cleared
                below = host.below(step.source, place) if recursive else frozenset()
                asked[place] = Asked(str(step.reason), inherits, below)
            case MountRoot():
                below = frozenset() if step.overlay else host.below(step.source, "/")
                asked["/"] = Asked(str(step.reason), _inherited(step.source), below)
            case _:
                pass
    return asked


def _inherited(source: str) -> frozenset[str]:
    """The flags of the host's mount that holds `source`: a bind starts with them (open_tree(2))."""
    try:
        bits = os.statvfs(source).f_flag
    except OSError:
        return frozenset()
    flags = frozenset(name for bit, name in _INHERITED.items() if bits & bit)
    return flags if flags & _ATIME else flags | {"strictatime"}


class _HostMounts:
    """The mount points of the host, read once, and only if somebody asks."""

    def __init__(self) -> None:
        self._points: list[str] | None = None

    def below(self, source: str, place: str) -> frozenset[str]:
        """Where the host's mounts below `source` appear in the root when it is bound recursively at `place`."""
        if self._points is None:
            with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
                self._points = sorted(parse_line(line).mount_point for line in file)
        above = os.path.realpath(source).rstrip("/") + "/"
        first = bisect_left(self._points, above)
        mine = takewhile(lambda point: point.startswith(above), islice(self._points, first, None))
        return frozenset(f"{place.rstrip('/')}/{point[len(above) :]}" for point in mine)
