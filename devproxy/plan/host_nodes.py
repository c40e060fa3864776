"""Devices whose number only the host's node tells, recognised in a spec by their path (S74; H14).

The majors of vfio, kfd, infiniband and their like are dynamic, and a minor is the order in which a device was found, not the
number in its name. That the name `accel` is in /proc/devices says little: DRM's accelerators and TPUs both have it.
"""

from __future__ import annotations

from devproxy.host.facts import Host
from devproxy.node import DeviceNumber, Fixed, Identity, LikeHost, NodeKind
from devproxy.oci.spec import Device
from devproxy.plan.steps import Level, Reason, Skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


# The one vfio device whose number never changes: VFIO_MINOR of include/linux/miscdevice.h.
VFIO_CONTAINER = "/dev/vfio/vfio"
VFIO_CONTAINER_IDENTITY = Fixed(DeviceNumber(10, 196))
_VERBS = "/dev/infiniband/uverbs"
_VERBS_MAJOR = 231  # IB_UVERBS_MAJOR of drivers/infiniband/core/uverbs_main.c, for the first 32
_PATHS = frozenset(("/dev/kfd", "/dev/infiniband/rdma_cm"))
_NUMBERED_PATHS = frozenset(
    (
        "/dev/accel/accel",
        "/dev/accel/accel_controlD",
        "/dev/apex_",
        "/dev/dri/card",
        "/dev/dri/renderD",
        "/dev/hl",
        "/dev/hl_controlD",
        "/dev/infiniband/issm",
        "/dev/infiniband/umad",
        _VERBS,
    )
)
# A TPU has one of these; other devices have some of them too, and are named the same way.
_TPU_PATHS = frozenset(("/dev/accel", "/dev/vfio/"))
# What all of these begin with: few devices do, and the others are told apart at once.
_BEGINNINGS = tuple(sorted({*_PATHS, *_NUMBERED_PATHS, *_TPU_PATHS, VFIO_CONTAINER}))


def identity_of(device: Device, *, tpus: bool) -> Identity | None:
    """Who decides the number of a device of the spec; None if the spec itself does.

    Without `tpus` the numbers of /dev/accelN and /dev/vfio/N are the spec's.
    """
    if not device.path.startswith(_BEGINNINGS) or device.kind is not NodeKind.CHARACTER or device.number is None:
        return None
    if device.path == VFIO_CONTAINER:
        return VFIO_CONTAINER_IDENTITY
    known = device.path in _PATHS or _base(device.path) in _NUMBERED_PATHS or (tpus and is_tpu_path(device.path))
    return LikeHost(device.path, device.number) if known else None


def are_numbered_by_spec(paths: Iterable[str]) -> bool:
    """Whether it is sure that `identity_of` is None of every device at these paths."""
    together = "\n".join(paths)
    return not any(beginning in together for beginning in _BEGINNINGS)


def is_tpu_path(path: str) -> bool:
    """Whether a path is one that a TPU's node has: /dev/accelN or /dev/vfio/N, and neither /dev/accel nor /dev/vfio/vfio
    (H15).
    """
    return path.startswith(_BEGINNINGS) and _base(path) in _TPU_PATHS


def verbs_remarks(devices: Iterable[Device], host: Host) -> list[Skip]:
    """A warning for each uverbs device of the spec whose major on the host is a dynamic one (H17): runtimes that look inside
    of what a container says to it take InfiniBand's own alone.
    """
    remarks = []
    for device in devices:
        is_verbs = device.path.startswith(_VERBS) and _base(device.path) == _VERBS
        node = host.node(device.path) if is_verbs else None
        if node is not None and node.number.major != _VERBS_MAJOR:
            what = f"proxying {device.path}"
            note = f"{node.number} on the host, where InfiniBand's own major is {_VERBS_MAJOR}: gVisor refuses it"
            remarks.append(Skip(device.path, what, Level.WARNING, Reason(device.where, note)))
    return remarks


def _base(path: str) -> str:
    """The path without its number; empty if it has none."""
    base = path.rstrip("0123456789")
    return base if base != path else ""
