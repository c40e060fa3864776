"""One side of a comparison: a built root with its mount table and what its own build decided."""

from __future__ import annotations

from collections import Counter

from devproxy.build import Root
from devproxy.check.mount_table import PSEUDO, MountTable, parent
from devproxy.check.resolve import MountPlaces
from devproxy.linux.mountinfo import MountLine
from devproxy.outcome import Result
from devproxy.plan.steps import Cover, Mask, SealPath
from devproxy.record import Record


class Side(Record):
    """The expected or the observed root. `places` says where its paths lie. `covers` counts, for each place, the masks,
    covers and read-only binds that this side's build put there: which of them there are is decided on each target, by what
    exists in its proc and sysfs.
    """

    root: Root
    table: MountTable
    places: MountPlaces
    covers: Counter[str]

    def own_mounts(self, point: str) -> list[MountLine]:
        """The mounts on a point, the topmost last, without masks, covers and read-only binds."""
        stack = self.table.stack(point)
        return stack[: max(0, len(stack) - self.covers[point])]

    def is_kernels(self, place: str) -> bool:
        """Whether what is at a place is the kernel's to decide, whatever was mounted there, or masked further up: the root
        of a pseudo file system, or what lies in one.
        """
        if any(line.fstype in PSEUDO for line in self.own_mounts(place)):
            return True
        while place != "/":
            held = self.table.holding(parent(place))
            place = held.mount_point if held is not None else "/"
            own = self.own_mounts(place)
            if own:
                return own[-1].fstype in PSEUDO
        return False


def side_of(root: Root) -> Side:
    """Look at a root's mount table and outcomes. Raises OSError when they cannot be seen."""
    covers: Counter[str] = Counter()
    table = MountTable(root.mountinfo())
    places = MountPlaces(root, table)
    for outcome in root.outcomes:
        if isinstance(outcome.step, Mask | Cover | SealPath) and outcome.result is not Result.SKIPPED:
            covers[places.mounted(outcome.step.path)] += 1
    return Side(root, table, places, covers)
