"""TPUs in a plan: those that the environment selects from the host (S74; H14)."""

from __future__ import annotations

from devproxy.errors import InputError
from devproxy.host.facts import Host, TpuChip
from devproxy.node import Identity, LikeHost, NodeKind
from devproxy.oci.json_path import quote
from devproxy.oci.tpu_env import VISIBLE_CHIPS, VisibleTpus
from devproxy.plan.host_nodes import VFIO_CONTAINER, VFIO_CONTAINER_IDENTITY
from devproxy.plan.steps import Level, MakeNode, Reason, Skip, Step

# How many chips of a host libtpu can use by themselves: 1, 1x2, 2x2 and 2x4 of them.
_COUNTS = (1, 2, 4, 8)


def selected_nodes(visible: VisibleTpus, host: Host) -> list[Step]:
    """The nodes that docker mode makes with /dev: those of the chips, and /dev/vfio/vfio where they need it.

    Errors: InputError for a word that names no chip of this host, and for so many chips as libtpu cannot use.
    """
    steps: list[Step] = []
    if visible.overruled:
        what = f"the TPUs of {quote(visible.overruled)}"
        steps.append(_skip(what, f"process.env {VISIBLE_CHIPS}", f"{visible.source} is set too, and wins", Level.NOTE))
    if not host.tpus:
        level = Level.WARNING if visible.words else Level.NOTE
        return [*steps, _skip(f"the TPUs of {quote(visible.value)}", visible.source, "the host has no TPU", level)]
    chips = _chosen(visible, host.tpus) if visible.words else host.tpus
    if any(path.startswith("/dev/vfio/") for chip in chips for path in chip.nodes):
        reason = Reason(visible.source, "the chips are vfio's")
        steps.append(_node(VFIO_CONTAINER, VFIO_CONTAINER_IDENTITY, reason))
    for chip in chips:
        if chip.problem:
            steps.append(_skip(f"TPU {chip.rank} ({chip.address})", visible.source, chip.problem, Level.WARNING))
        reason = Reason(visible.source, f"{visible.value}: TPU {chip.rank} at {chip.address}")
        steps += [_node(path, LikeHost(path), reason) for path in chip.nodes]
    return steps


def _chosen(visible: VisibleTpus, chips: tuple[TpuChip, ...]) -> tuple[TpuChip, ...]:
    """The chips that the words name, in their order; one that is named twice counts once."""
    names = {str(chip.rank): chip for chip in chips}
    if not visible.source.endswith(VISIBLE_CHIPS):
        names = {path: chip for chip in chips for path in chip.nodes}
    chosen: dict[int, TpuChip] = {}
    for position, word in enumerate(visible.words, 1):
        chip = names.get(word)
        if chip is None:
            known = ", ".join(f"{name} ({chip.address})" for name, chip in names.items()) or "none that can be used"
            raise InputError(
                f"{visible.source} names {quote(word)} at position {position}, expected a TPU of this host: {known}",
                hint="'devproxy probe' shows the chips and their nodes",
            )
        chosen[chip.rank] = chip
    if len(chosen) not in _COUNTS and len(chosen) != len(chips):
        legal = [str(count) for count in _COUNTS if count < len(chips)]
        raise InputError(
            f"{visible.source} is {quote(visible.value)}, which names {len(chosen)} chips, "
            f"expected {', '.join(legal)} or all {len(chips)} of this host",
            hint="libtpu can use no other number of a host's chips",
        )
    return tuple(chosen.values())


def _node(path: str, identity: Identity, reason: Reason) -> MakeNode:
    return MakeNode(path, NodeKind.CHARACTER, identity, 0o666, None, None, "", reason)


def _skip(what: str, source: str, why: str, level: Level) -> Skip:
    return Skip("/dev", what, level, Reason(source, why))
