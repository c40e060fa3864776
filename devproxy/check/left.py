"""What building a root leaves on the host: mount points and the like that were missing in what is bound."""

from __future__ import annotations

import os

from devproxy.build import Root
from devproxy.check.mount_table import MountTable, parent
from devproxy.check.resolve import Places
from devproxy.outcome import Result
from devproxy.plan.steps import Bind, MakeNode, MakeSymlink, MountFilesystem, MountRoot


def left_on_host(root: Root) -> tuple[str, ...]:
    """The paths of the host that a root on the kernel has made there; of a mount point and the directories above it the first. They stay: what looks
    empty by the time the root goes may be somebody else's mount point by then. Raises OSError when the mount table cannot be seen.
    """
    table, places = MountTable(root.mountinfo()), Places(root)
    bound: dict[str, str] = {}
    left: dict[str, None] = {}
    for outcome in root.outcomes:
        step = outcome.step
        if outcome.result is Result.SKIPPED:
            continue
        made = step.path if isinstance(step, MakeNode | MakeSymlink) and not outcome.kept else outcome.made
        if made:
            place = places.of(made)
            held = table.holding(parent(place))
            source = bound.get(held.mount_point) if held is not None else None
            if held is not None and source is not None:
                left[os.path.join(source, os.path.relpath(place, held.mount_point))] = None
        if isinstance(step, MountRoot | Bind | MountFilesystem):
            place = places.real(step.path)
            bound.pop(place, None)
            if isinstance(step, Bind | MountRoot) and (step.overlay is None or outcome.kept):
                bound[place] = step.source
            elif isinstance(step, MountFilesystem) and step.layers is not None and step.layers.upper:
                bound[place] = step.layers.upper
    return tuple(left)
