"""The devices that `linux.devices` lists (S66 to S72)."""

from __future__ import annotations

from itertools import repeat

from devproxy.node import Fixed, Identity
from devproxy.oci.spec import Device
from devproxy.plan.host_nodes import are_numbered_by_spec, identity_of
from devproxy.plan.nvidia import NvidiaDrivers
from devproxy.plan.steps import MakeDirectory, MakeNode, Reason, RequireNode, Step
from devproxy.plan.visible_mounts import Mounted, VisibleMounts
from devproxy.record import make_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# What a device without fileMode gets (S67).
_DEFAULT_MODE = 0o666


def device_step(
    device: Device, nvidia: NvidiaDrivers | None, holder: Mounted | None, *, tpus: bool
) -> MakeNode | RequireNode:
    """Make the device; in a bind without an overlay, which is the user's own, only check that it is there (S17, S69).

    `nvidia` is None, `tpus` false, when the configuration leaves the numbers of these devices to the spec. `holder` is the
    mount that the path lies in.
    """
    path, kind, _, mode, uid, gid, where = device
    identity, asked = _identity(device, nvidia, tpus=tpus)
    step = MakeNode(path, kind, identity, _DEFAULT_MODE if mode is None else mode, uid, gid, asked, Reason(where))
    return step if holder is None or not holder.is_users else _in_bind(step, holder)


def device_steps(
    devices: Sequence[Device], nvidia: NvidiaDrivers | None, holders: Sequence[Mounted | None], *, tpus: bool
) -> list[MakeNode] | list[MakeNode | RequireNode]:
    """`device_step` of each device, with the holder at its place. Where every number is the spec's and nothing of a user's is touched,
    which is how thousands of devices are, the steps are made field by field.
    """
    paths = [device.path for device in devices]
    is_plain = are_numbered_by_spec(paths) and (nvidia is None or nvidia.are_none_of(paths))
    if not devices or not is_plain or any(holder is not None and holder.is_users for holder in holders):
        return [device_step(each, nvidia, holder, tpus=tpus) for each, holder in zip(devices, holders, strict=True)]
    _, kinds, numbers, modes, uids, gids, wheres = zip(*devices, strict=True)
    # One for all devices of a number: what compares them later sees at once that they are the same.
    fixed = {number: None if number is None else Fixed(number) for number in set(numbers)}
    identities = map(fixed.__getitem__, numbers)
    decided = [_DEFAULT_MODE if mode is None else mode for mode in modes]
    reasons = make_all(Reason, wheres, repeat(""))
    return make_all(MakeNode, paths, kinds, identities, decided, uids, gids, repeat(""), reasons)


def in_binds(steps: list[Step], mounted: VisibleMounts) -> list[Step]:
    """What docker mode makes with /dev, where that is a bind: checked as a device of the spec is. The directories are the
    user's own too.
    """
    fitted: list[Step] = []
    for step in steps:
        holder = _holder(step.path, mounted)
        if holder is None:
            fitted.append(step)
        elif isinstance(step, MakeNode):
            fitted.append(_in_bind(step, holder))
        elif not isinstance(step, MakeDirectory):
            fitted.append(step)
    return fitted


def _in_bind(step: MakeNode, holder: Mounted) -> RequireNode:
    note = f"{step.reason.note}; " if step.reason.note else ""
    reason = Reason(step.reason.source, f"{note}{holder.path} is a bind, nothing is made in it")
    return RequireNode(step.path, step.kind, step.identity, step.asked, reason)


def _holder(path: str, mounted: VisibleMounts) -> Mounted | None:
    """The bind that a path lies in, if nothing may be made there."""
    holder = mounted.holding(path)
    return holder if holder is not None and holder.is_users else None


def _identity(device: Device, nvidia: NvidiaDrivers | None, *, tpus: bool) -> tuple[Identity | None, str]:
    """Who decides the number, and the spec's where that is another."""
    number = device.number
    if number is None:
        return None, ""
    identity = identity_of(device, tpus=tpus)
    if identity is None and nvidia is not None:
        identity = nvidia.identity_of(device)
    fixed = Fixed(number)
    return (fixed, "") if identity is None or identity == fixed else (identity, str(number))
