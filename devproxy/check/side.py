"""One side of a comparison: a built root with its mount table and what its own build decided."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from devproxy.build import Root
from devproxy.check.mount_table import MountTable
from devproxy.check.resolve import MountPlaces
from devproxy.linux.mountinfo import MountLine
from devproxy.outcome import Result
from devproxy.plan.steps import Cover, Mask, SealPath


class Side(NamedTuple):
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


def side_of(root: Root) -> Side:
    """Look at a root's mount table and outcomes. Raises OSError when they cannot be seen."""
    covers: Counter[str] = Counter()
    table = MountTable(root.mountinfo())
    places = MountPlaces(root, table)
    for outcome in root.outcomes:
        if isinstance(outcome.step, Mask | Cover | SealPath) and outcome.result is not Result.SKIPPED:
            covers[places.mounted(outcome.step.path)] += 1
    return Side(root, table, places, covers)
