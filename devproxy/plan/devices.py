"""The devices that `linux.devices` lists (S66 to S72)."""

from __future__ import annotations

from devproxy.node import Fixed, Identity
from devproxy.oci.spec import Device
from devproxy.plan.host_nodes import identity_of
from devproxy.plan.nvidia import NvidiaDrivers
from devproxy.plan.steps import MakeNode, Reason, RequireNode
from devproxy.plan.visible_mounts import VisibleMounts

# What a device without fileMode gets (S67).
_DEFAULT_MODE = 0o666


def device_step(
    device: Device, nvidia: NvidiaDrivers | None, mounted: VisibleMounts, *, tpus: bool
) -> MakeNode | RequireNode:
    """Make the device; in a bind, which is the user's own, only check that it is there (S17, S69).

    `nvidia` is None, `tpus` false, when the configuration leaves the numbers of these devices to the spec.
    """
    identity = _identity(device, nvidia, tpus=tpus)
    asked = "" if device.number is None or identity == Fixed(device.number) else str(device.number)
    holder = mounted.holding(device.path)
    if holder is not None and holder.is_bind:
        reason = Reason(device.where, f"{holder.path} is a bind, nothing is made in it")
        return RequireNode(device.path, device.kind, identity, asked, reason)
    mode = _DEFAULT_MODE if device.mode is None else device.mode
    return MakeNode(device.path, device.kind, identity, mode, device.uid, device.gid, asked, Reason(device.where))


def _identity(device: Device, nvidia: NvidiaDrivers | None, *, tpus: bool) -> Identity | None:
    if device.number is None:
        return None
    identity = identity_of(device, tpus=tpus)
    if identity is None and nvidia is not None:
        identity = nvidia.identity_of(device)
    return identity or Fixed(device.number)
