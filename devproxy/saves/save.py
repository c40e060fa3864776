"""A root's changes saved as an OCI layer: what is in its overlays and tmpfs, under the paths that it has in the container."""

from __future__ import annotations

from devproxy import __version__
from devproxy.errors import DevproxyError
from devproxy.layer.entry import join
from devproxy.layer.walk import Walk
from devproxy.layer.writer import LayerWriter
from devproxy.new_file import NewFile, require_new
from devproxy.outcome import Result
from devproxy.overlay import LAYERS
from devproxy.plan.steps import Bind, MakeNode, MountFilesystem, MountRoot
from devproxy.record import Record
from devproxy.saves.remap import accelerators_of, accelerators_to_json
from devproxy.saves.restore import FORMAT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from devproxy.outcome import Outcome
    from devproxy.plan.plan import Plan
    from devproxy.targets.root import Kept


class Saved(Record):
    """What was saved. `mounts` are the destinations whose changes are in the file, `reattached` those that a restore takes from the
    host again: what is written there is on the host already. `notes` tell what was left out, and why.
    """

    file: str
    entries: int
    bytes: int
    mounts: tuple[str, ...]
    reattached: tuple[str, ...]
    notes: tuple[str, ...]


def save_root(plan: Plan, outcomes: Iterable[Outcome], kept: Sequence[Kept], file: str) -> Saved:
    """Save what `kept` has. The file is there whole or not at all.

    Raises InputError for a name that is taken; DevproxyError when something cannot be read or written.
    """
    require_new(file)
    if not kept:
        raise DevproxyError(
            "this root has neither an overlay nor a tmpfs of its own, so that nothing can be saved",
            hint="what was written is in the rootfs and in binds already; with overlay2 = root:memory it is kept apart",
        )
    notes = _remarks(outcomes)
    mounts = sorted(kept, key=lambda each: each.path.split("/") if each.path else [])
    description = {
        "format": FORMAT,
        "devproxy": __version__,
        "mode": plan.mode.value,
        "mounts": [{"destination": each.destination, "path": each.path, "kind": each.kind} for each in mounts],
        "reattached": _reattached(outcomes),
        "accelerators": accelerators_to_json(accelerators_of(plan)),
    }
    left_out = {each.path for each in mounts} | {join(each.path, LAYERS) for each in mounts if each.kind == "overlay"}
    # The plan makes these anew, with the numbers that they have then.
    left_out |= {step.path[1:] for step in plan.steps if isinstance(step, MakeNode)}
    try:
        with NewFile(file) as new:
            writer = LayerWriter(new.file, description)
            walk = Walk(writer, left_out, notes.append)
            for each in mounts:
                walk.take(each.tree, each.path, overlay=each.kind == "overlay")
            writer.finish()
            new.keep()
    except OSError as error:
        where = f"{error.filename}: " if isinstance(error.filename, str) and error.filename != file else ""
        raise DevproxyError(f"{file} cannot be saved: {where}{(error.strerror or str(error)).lower()}") from error
    return Saved(
        file,
        writer.entries,
        writer.size,
        tuple(each.destination for each in mounts),
        tuple(_reattached(outcomes)),
        tuple(notes),
    )


def _remarks(outcomes: Iterable[Outcome]) -> list[str]:
    """What has no changes of its own to save."""
    notes = []
    for outcome in outcomes:
        step = outcome.step
        if isinstance(step, MountRoot) and outcome.kept:
            why = "read-only" if step.overlay is not None else "changed in place (overlay2 = none)"
            notes.append(f"the root is {step.source} itself, {why}: nothing of it is saved")
    return notes


def _reattached(outcomes: Iterable[Outcome]) -> list[str]:
    """The destinations of what is the host's: binds without an overlay, and overlays whose upper layer the spec names."""
    paths = []
    for outcome in outcomes:
        step = outcome.step
        if outcome.result is Result.SKIPPED:
            continue
        if (isinstance(step, Bind) and step.overlay is None) or (
            isinstance(step, MountFilesystem) and step.layers is not None
        ):
            paths.append(step.path)
    return list(dict.fromkeys(paths))
