"""Which accelerator of a restored root stands for which of the saved one (H28): GPUs by their minors, TPUs by their PCI addresses, the
first for the first.

A driver finds its devices by the numbers that this machine gives them, so that the plan's own nodes stay as they are: what moves along
are names and identities that the saved root knew. Where an old node's name is free it becomes a link to the new node, and an old UUID
in the process's environment becomes the new one.
"""

from __future__ import annotations

import re

from devproxy.errors import InputError
from devproxy.layer.pax import DamagedError
from devproxy.node import OfDriver
from devproxy.plan.steps import Level, MakeNode, MakeSymlink, Reason, RequireNode, Skip
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from devproxy.host.facts import Host
    from devproxy.oci.spec import Device as SpecDevice
    from devproxy.oci.spec import Spec
    from devproxy.plan.plan import Plan
    from devproxy.plan.steps import Step

_GPU_DRIVERS = ("nvidia", "nvidia-frontend")
_GPU_MINORS = range(255)  # 255 is nvidiactl
_GROUP = re.compile(r"/dev/vfio/([0-9]+)")
_VARIABLES = ("NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
_NO_GROUP = -1


class Device(Record):
    """An accelerator that a root has. `node` is its path there. `minor` orders GPUs, `address` (PCI) orders TPUs; `group` is the
    IOMMU group of a TPU that vfio holds, else -1. `uuid` and `model` are empty where the host does not say.
    """

    node: str
    minor: int
    address: str
    group: int
    uuid: str
    model: str


class Accelerators(Record):
    """The accelerators of a root, each kind in the order in which a restore pairs them."""

    gpus: tuple[Device, ...] = ()
    tpus: tuple[Device, ...] = ()


def accelerators_of(plan: Plan) -> Accelerators:
    """What a plan gives its root, with what the host tells of it."""
    nodes = [step for step in plan.steps if isinstance(step, MakeNode | RequireNode)]
    gpus = [_gpu(plan, step.path, minor) for step in nodes if (minor := _gpu_minor(step)) is not None]
    paths = {step.path for step in nodes}
    tpus = []
    for chip in plan.host.tpus:
        node = next((path for path in chip.nodes if path in paths), None)
        if node is not None:
            group = _GROUP.fullmatch(node)
            tpus.append(Device(node, 0, chip.address, int(group[1]) if group else _NO_GROUP, "", chip.generation))
    return Accelerators(
        tuple(sorted(gpus, key=lambda each: (each.minor, each.node))),
        tuple(sorted(tpus, key=lambda each: each.address)),
    )


def _gpu_minor(step: MakeNode | RequireNode) -> int | None:
    identity = step.identity
    if isinstance(identity, OfDriver) and identity.driver in _GPU_DRIVERS and identity.minor in _GPU_MINORS:
        return identity.minor
    return None


def _gpu(plan: Plan, node: str, minor: int) -> Device:
    known = () if plan.host.nvidia is None else plan.host.nvidia.gpus
    found = next((each for each in known if each.minor == minor), None)
    if found is None:
        return Device(node, minor, "", _NO_GROUP, "", "")
    return Device(node, minor, found.address, _NO_GROUP, found.uuid or "", found.model)


# as JSON


def accelerators_to_json(accelerators: Accelerators) -> dict[str, Any]:
    """For a save's description."""
    return {
        "gpus": [each._asdict() for each in accelerators.gpus],
        "tpus": [each._asdict() for each in accelerators.tpus],
    }


def accelerators_from_json(found: object) -> Accelerators:
    """Raises DamagedError for what `accelerators_to_json` does not write."""
    if not isinstance(found, dict):
        raise DamagedError("has no accelerators in its description")
    return Accelerators(_devices(found.get("gpus")), _devices(found.get("tpus")))


def _devices(found: object) -> tuple[Device, ...]:
    if not isinstance(found, list):
        raise DamagedError("has no list of accelerators in its description")
    return tuple(_device(each) for each in found)


def _device(found: object) -> Device:
    if isinstance(found, dict) and set(found) == set(Device._fields):
        texts = (found["node"], found["address"], found["uuid"], found["model"])
        numbers = (found["minor"], found["group"])
        if all(isinstance(each, str) for each in texts) and all(type(each) is int for each in numbers):
            return Device(**found)
    raise DamagedError("has an accelerator in its description that is none")


# pairs

Pairs = tuple[tuple[Device, Device], ...]


def pair(saved: Accelerators, here: Accelerators, file: str) -> Pairs:
    """Each saved device with the one that stands for it.

    Raises InputError where that cannot be: another count, or IOMMU groups of another shape (who opens a group has all of it).
    """
    pairs: list[tuple[Device, Device]] = []
    for what, old, new in (("GPUs", saved.gpus, here.gpus), ("TPUs", saved.tpus, here.tpus)):
        if old and len(old) != len(new):
            raise InputError(
                f"{file} was saved with {len(old)} {what} ({_names(old)}), this plan gives {len(new)}"
                f"{f' ({_names(new)})' if new else ''}: none can stand for the other",
                hint="have the bundle select as many (NVIDIA_VISIBLE_DEVICES, TPU_VISIBLE_CHIPS, linux.devices), or another host",
            )
        pairs += zip(old, new, strict=False)
    _check_groups(pairs, file)
    return tuple(pairs)


def _names(devices: tuple[Device, ...]) -> str:
    return ", ".join(f"{each.node} at {each.address}" if each.address else each.node for each in devices)


def _check_groups(pairs: list[tuple[Device, Device]], file: str) -> None:
    to_new: dict[int, int] = {}
    to_old: dict[int, int] = {}
    for old, new in pairs:
        if _NO_GROUP in (old.group, new.group):
            continue
        if to_new.setdefault(old.group, new.group) != new.group:
            raise InputError(
                f"{file}: the TPUs of the saved IOMMU group {old.group} are in the groups {to_new[old.group]} and {new.group} here: "
                "one node cannot stand for two",
                hint="take a host whose IOMMU groups are those of the saved one ('devproxy probe' shows them)",
            )
        if to_old.setdefault(new.group, old.group) != old.group:
            raise InputError(
                f"{file}: the TPUs of the saved IOMMU groups {to_old[new.group]} and {old.group} are together in the group "
                f"{new.group} here: who opens one would have both",
                hint="take a host whose IOMMU groups are those of the saved one ('devproxy probe' shows them)",
            )


# what moves along


def remapped(plan: Plan, saved: Accelerators, file: str) -> Plan:
    """The plan with the names and identities that the saved root knew. Raises InputError as `pair`."""
    pairs = pair(saved, accelerators_of(plan), file)
    reason = Reason(f"restored from {file}")
    steps = [*_links(plan, pairs, reason), *_remarks(pairs, reason)]
    last = max(
        (index for index, step in enumerate(plan.steps) if isinstance(step, MakeNode)), default=len(plan.steps) - 1
    )
    process = plan.process
    if process is not None:
        process = process._replace(env=renamed(process.env, {old.uuid: new.uuid for old, new in pairs if old.uuid}))
    return plan._replace(steps=(*plan.steps[: last + 1], *steps, *plan.steps[last + 1 :]), process=process)


def _links(plan: Plan, pairs: Pairs, reason: Reason) -> list[Step]:
    """Links from the old names to the new nodes: all of them, or none. With some, a name would be that of another device."""
    moved = {old.node: new for old, new in pairs if old.node != new.node}
    if not moved:
        return []
    told = ", ".join(f"{old} is {new.node} now" for old, new in sorted(moved.items()))
    taken = sorted(moved.keys() & {step.path for step in plan.steps if isinstance(step, MakeNode | RequireNode)})
    if taken:
        note = f"no links, as {', '.join(taken)} {'is a device' if len(taken) == 1 else 'are devices'} of this host too"
        return [Skip("/dev", f"the saved names of accelerators: {told}", Level.WARNING, reason._replace(note=note))]
    return [
        MakeSymlink(old, new.node, reason._replace(note=f"the device at {new.address or new.node} stands for it"))
        for old, new in sorted(moved.items())
    ]


def _remarks(pairs: Pairs, reason: Reason) -> list[Step]:
    return [
        Skip(new.node, f"{old.node} was {old.model}, {new.node} is {new.model}", Level.WARNING, reason)
        for old, new in pairs
        if old.model and new.model and old.model != new.model
    ]


def renamed(env: tuple[str, ...], uuids: dict[str, str]) -> tuple[str, ...]:
    """An environment in which the devices that are named by an old UUID are named by the new one."""
    changed = []
    for line in env:
        name, equals, value = line.partition("=")
        known = name in _VARIABLES and equals
        changed.append(f"{name}={','.join(uuids.get(each) or each for each in value.split(','))}" if known else line)
    return tuple(changed)


# before planning


def for_host(spec: Spec, host: Host, saved: Accelerators, file: str) -> Spec:
    """The bundle with GPUs of this host where it names saved ones that are not here: UUIDs in its environment, nodes in
    linux.devices. The host's GPUs are paired by their minors.

    Raises InputError if there is such a name, and the host has another number of GPUs than were saved.
    """
    here = sorted(
        (gpu for gpu in (host.nvidia.gpus if host.nvidia is not None else ()) if gpu.minor is not None),
        key=lambda gpu: gpu.minor or 0,
    )
    known = {gpu.uuid for gpu in here}
    gone = {old.uuid: index for index, old in enumerate(saved.gpus) if old.uuid and old.uuid not in known}
    moved = {old.node: index for index, old in enumerate(saved.gpus) if old.minor not in {gpu.minor for gpu in here}}
    env, devices = spec.process.env if spec.process is not None else (), spec.devices or ()
    named = renamed(env, dict.fromkeys(gone, "?")) != env or any(device.path in moved for device in devices)
    if not named:
        return spec
    if len(here) != len(saved.gpus):
        raise InputError(
            f"the bundle names GPUs of the host that {file} was saved on, {_names(saved.gpus)}; there were {len(saved.gpus)}, "
            f"this host has {len(here)}: which of them are meant cannot be told",
            hint="name GPUs of this host in the bundle, in NVIDIA_VISIBLE_DEVICES or linux.devices; 'devproxy probe' shows them",
        )
    uuids = {uuid: here[index].uuid or str(here[index].rank) for uuid, index in gone.items()}
    process = spec.process and spec.process._replace(env=renamed(env, uuids))
    changed = tuple(
        _moved(device, here[moved[device.path]].minor or 0) if device.path in moved else device for device in devices
    )
    return spec._replace(process=process, devices=spec.devices and changed)


def _moved(device: SpecDevice, minor: int) -> SpecDevice:
    number = None if device.number is None else device.number._replace(minor=minor)
    return device._replace(path=f"/dev/nvidia{minor}", number=number)
