"""What the host has mounted below what is bound, which shows in the root or hides what it is mounted on."""

from __future__ import annotations

import os
from bisect import bisect_left
from itertools import islice, takewhile

from devproxy.build import Root
from devproxy.check.mount_table import MountTable, parent
from devproxy.check.resolve import Places
from devproxy.linux.mountinfo import parse_line
from devproxy.outcome import Result
from devproxy.plan.steps import Bind, MountFilesystem, MountRoot
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class HostMounts(Record):
    """The host's mounts below the sources of a plan, by where they lie in the root. `shown` has for each bind the places
    where they show. `hidden` has the places where they do not, each with the mount point of its bind: the root shows there
    what the host's mount hides from everybody outside, so that nobody can say what to expect.
    """

    shown: dict[int, frozenset[str]]
    hidden: dict[str, str]

    def hide(self, place: str, table: MountTable) -> bool:
        """Whether a place lies where a mount of the host hides what there is, and nothing was mounted on top."""
        while place not in table.points:
            if place in self.hidden:
                held = table.holding(place)
                return held is not None and held.mount_point == self.hidden[place]
            place = parent(place)
        return False


def host_mounts(root: Root, places: Places) -> HostMounts:
    """Find them for each bind of the plan, by the index of its step, and for the root."""
    shown: dict[int, frozenset[str]] = {}
    hidden: dict[str, list[str]] = {}
    points = _Points()
    for index, outcome in enumerate(root.outcomes):
        step = outcome.step
        if not isinstance(step, Bind | MountRoot | MountFilesystem) or outcome.result is Result.SKIPPED:
            continue
        place = places.real(step.path)
        hidden.pop(place, None)  # the bind below is covered itself
        if isinstance(step, MountFilesystem):
            named = [] if step.layers is None else [step.layers.upper, *step.layers.lowers]
            below = {point for source in named if source for point in points.below(source, place)}
            if below:
                hidden[place] = sorted(below)
            continue
        # Without root what the host has mounted below comes along (devproxy.without_root).
        recursive = isinstance(step, MountRoot) or step.options.recursive_bind or root.rootless is not None
        overlaid = step.overlay is not None and not outcome.kept
        mounts = points.below(step.source, place)
        if recursive and not overlaid:
            shown[index] = frozenset(mounts)
        else:
            hidden[place] = list(mounts)
    return HostMounts(shown, {place: point for point, below in hidden.items() for place in below})


class _Points:
    """The mount points of the host, read once, and only if somebody asks."""

    def __init__(self) -> None:
        self._points: list[str] | None = None

    def below(self, source: str, place: str) -> Iterable[str]:
        """Where the host's mounts below `source` would appear in the root when it is bound at `place`."""
        if self._points is None:
            with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
                self._points = sorted({parse_line(line).mount_point for line in file})
        above = os.path.realpath(source).rstrip("/") + "/"
        first = bisect_left(self._points, above)
        mine = takewhile(lambda point: point.startswith(above), islice(self._points, first, None))
        return (f"{place.rstrip('/')}/{point[len(above) :]}" for point in mine)
