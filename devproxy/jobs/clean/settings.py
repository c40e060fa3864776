"""The devices' settings, put back to what NVML said of them before the job; of the lease's devices, and of no others.

What can be read can be put back: compute mode, applications' clocks, power limit, ECC, persistence mode, MIG mode, and MIG instances that
were not there before. Clocks that `nvidia-smi -lgc` locked are told by no call of NVML. MIG instances that were there and are gone are
told with the command: new ones would have other UUIDs, and are not what somebody counted on.
"""

from __future__ import annotations

import fcntl
import os
from functools import partial

from devproxy.host.nvml_facts import NvmlState
from devproxy.host.root import HostRoot, LiveReader
from devproxy.host.sources.nvml import COMPUTE_MODES, read_nvml
from devproxy.jobs.claims import look
from devproxy.jobs.clean.dirt import Dirt, DirtKind
from devproxy.jobs.clean.nvml_setter import put
from devproxy.jobs.devices import Kind
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from devproxy.host.nvml_facts import Nvml, NvmlGpu, NvmlMig
    from devproxy.jobs.clean.asked import Asked
    from devproxy.jobs.state import State


class Change(Record):
    """A setting of a GPU (`uuid`) that is not what it was, as dirt; and the words by which the setter puts it back: empty where only
    somebody can who knows more.
    """

    dirt: Dirt
    uuid: str
    order: tuple[str, ...]


class Changes(Record):
    """What differs, each with what puts it back; and why that could not be told."""

    pieces: tuple[tuple[Dirt, Callable[[], str]], ...] = ()
    unseen: str = ""


def find(asked: Asked) -> Changes:
    """What the job changed, as far as it is known what was there before."""
    gpus = {device.name for device in asked.scope.devices if device.kind is Kind.GPU}
    before = asked.before
    if before is None or not gpus:
        return Changes()
    then = before.details.nvml if before.details is not None else None
    if then is None or then.state is not NvmlState.ANSWERED:
        return Changes(unseen="the GPUs' settings: NVML did not answer when the host was recorded before")
    with LiveReader() as reader:
        now = read_nvml(HostRoot(reader), before)
    if now.state is not NvmlState.ANSWERED:
        return Changes(unseen=f"the GPUs' settings: NVML does not answer: {now.why or now.state.value}")
    found = [_unless_leased(asked, each) for each in changes(gpus, then, now)]
    return Changes(tuple((each.dirt, partial(_put_back, asked, each)) for each in found))


def changes(names: set[str], then: Nvml, now: Nvml) -> tuple[Change, ...]:
    """What differs of the GPUs with these UUIDs, in the order in which it is put back."""
    old = {gpu.uuid: gpu for gpu in then.gpus if gpu.uuid}
    pairs = [(old[gpu.uuid], gpu) for gpu in now.gpus if gpu.uuid in names and gpu.uuid in old]
    return tuple(change for pair in pairs for look in _LOOKS for change in look(*pair))


def _instances(then: NvmlGpu, now: NvmlGpu) -> Iterator[Change]:
    """Those that were not there before go, with the GPU instance if nothing else is in it."""
    kept = {part.uuid for part in then.mig} if then.mig_mode else set()
    stay = [part for part in now.mig if part.uuid in kept]
    for part in now.mig:
        if part.uuid in kept or part.gpu_instance is None or part.compute_instance is None:
            continue
        whole = all(other.gpu_instance != part.gpu_instance for other in stay)
        order = ("mig-instance", str(part.gpu_instance), str(part.compute_instance), "whole" if whole else "part")
        yield _change(DirtKind.MIG_INSTANCE, now, f"instance {_named(part)}", "none", "there", order)
    if then.mig_mode and now.mig_mode:
        for part in then.mig:
            if all(part.uuid != other.uuid for other in stay):
                hint = f"nvidia-smi mig -i {now.uuid} -cgi {part.profile} -C"
                change = _change(DirtKind.MIG_INSTANCE, now, f"instance {_named(part)}", "there", "none", ())
                yield change._replace(dirt=change.dirt._replace(hint=hint))


def _mig_mode(then: NvmlGpu, now: NvmlGpu) -> Iterator[Change]:
    wanted, pending = then.mig_mode, now.mig_mode if now.mig_pending is None else now.mig_pending
    if wanted is not None and now.mig_mode is not None and (wanted != now.mig_mode or wanted != pending):
        yield _change(DirtKind.MIG_MODE, now, "MIG", _word(wanted), _word(now.mig_mode), ("mig-mode", str(int(wanted))))


def _compute_mode(then: NvmlGpu, now: NvmlGpu) -> Iterator[Change]:
    old, new = then.health.compute_mode, now.health.compute_mode
    if old in COMPUTE_MODES and new and old != new:
        order = ("compute-mode", str(COMPUTE_MODES.index(old)))
        yield _change(DirtKind.COMPUTE_MODE, now, "compute mode", old, new, order)


def _clocks(then: NvmlGpu, now: NvmlGpu) -> Iterator[Change]:
    old, new = ((gpu.health.bounds.clock_memory_locked, gpu.health.clock_sm_locked) for gpu in (then, now))
    if None not in (*old, *new) and old != new:
        told = [f"{sm} MHz, memory {memory} MHz" for memory, sm in (old, new)]
        yield _change(DirtKind.CLOCKS, now, "applications' clocks", told[0], told[1], ("clocks", *map(str, old)))


def _power_limit(then: NvmlGpu, now: NvmlGpu) -> Iterator[Change]:
    old, new = then.health.power_limit, now.health.power_limit
    if old is not None and new is not None and old != new:
        order = ("power-limit", str(round(old * 1000)))
        yield _change(DirtKind.POWER_LIMIT, now, "power limit", f"{old:g} W", f"{new:g} W", order)


def _ecc(then: NvmlGpu, now: NvmlGpu) -> Iterator[Change]:
    old, new, pending = then.health.bounds.ecc, now.health.bounds.ecc, now.health.bounds.ecc_pending
    if old is not None and new is not None and (old != new or pending not in (None, old)):
        told = _word(new) if new != old else f"{_word(new)}, {_word(not old)} after the next reset"
        yield _change(DirtKind.ECC, now, "ECC", _word(old), told, ("ecc", str(int(old))))


def _persistence(then: NvmlGpu, now: NvmlGpu) -> Iterator[Change]:
    old, new = then.health.persistence, now.health.persistence
    if old is not None and new is not None and old != new:
        order = ("persistence", str(int(old)))
        yield _change(DirtKind.PERSISTENCE, now, "persistence mode", _word(old), _word(new), order)


# In the order in which they can be put back: instances keep MIG mode on, a mode's change may set others.
_LOOKS: Final[tuple[Callable[[NvmlGpu, NvmlGpu], Iterator[Change]], ...]] = (
    _instances, _mig_mode, _compute_mode, _clocks, _power_limit, _ecc, _persistence,
)  # fmt: skip


def _change(kind: DirtKind, gpu: NvmlGpu, name: str, old: str, new: str, order: tuple[str, ...]) -> Change:
    what = f"{name} of gpu {gpu.rank} ({gpu.uuid})"
    if order:
        dirt = Dirt(kind, what, f"{new}, and {old} when the host was recorded before")
    else:
        dirt = Dirt(kind, what, "", f"{new}, and {old} when the host was recorded before: another has to be made")
    return Change(dirt, gpu.uuid or "", order)


def _named(part: NvmlMig) -> str:
    return f"{part.gpu_instance}/{part.compute_instance} {part.profile}".rstrip()


def _word(value: bool) -> str:  # noqa: FBT001 (what NVML says)
    return "on" if value else "off"


def _unless_leased(asked: Asked, change: Change) -> Change:
    """The change; of a device that has been leased since, it is told and left to who has it."""
    state = None if asked.how.held else asked.how.state
    if state is None or _owner(state, change.uuid) in ("", asked.scope.ident):
        return change
    return change._replace(dirt=change.dirt._replace(proof="", why=_LEASED, hint=""))


def _owner(state: State, name: str) -> str:
    """The number of the lease that has a device, as the living claim of it says; empty for nobody."""
    for claim in look(state.held):
        names = claim.words.get("devices")
        if claim.alive and isinstance(names, list) and name in names:
            return str(claim.words.get("id", "?"))
    return ""


def _put_back(asked: Asked, change: Change) -> str:
    """Why it could not be done; empty when it is as it was. Meanwhile nobody can lease the device; somebody else's is left alone."""
    state = None if asked.how.held else asked.how.state
    lock = None if state is None else _lock(state, change.uuid)
    if lock == _TAKEN:
        return _LEASED
    try:
        return put(change.uuid, change.order)
    finally:
        if lock is not None:
            os.close(lock)


_TAKEN: Final = -1
_LEASED: Final = "the device is leased by now"


def _lock(state: State, name: str) -> int:
    descriptor = state.device(name)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return _TAKEN
    return descriptor
