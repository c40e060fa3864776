"""What a host has to lease: its GPUs by UUID, its TPU chips by PCI address, and which of them may go together."""

from __future__ import annotations

from devproxy.choice import Choice
from devproxy.errors import InputError
from devproxy.host.facts import Host
from devproxy.jobs.size import size_text
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

    from devproxy.jobs.scope import Scope

# How many chips of a host libtpu can use by themselves, and its bounds for them (notes of the JAX and Ray projects).
_TPU_BOUNDS: Final = {1: "1,1,1", 2: "1,2,1", 4: "2,2,1"}

_TELLING: Final = ("/sys", "/sys/bus/pci/devices", "/proc", "/proc/devices", "/dev")


class Kind(Choice):
    """What can be leased."""

    GPU = "gpu"
    TPU = "tpu"


class Device(Record):
    """An accelerator that can be leased. `name` is what it is known by for good: a GPU's UUID, a chip's PCI address. `memory`
    is in bytes; None is not told.
    """

    kind: Kind
    name: str
    rank: int
    address: str
    model: str
    numa: int
    memory: int | None
    nodes: tuple[str, ...]


class Wanted(Record):
    """What is asked for: how many of which kind; the words of the model, the bytes of memory and the NUMA node are for each
    of them. None is any.
    """

    number: int
    kind: Kind | None = None
    model: str = ""
    memory: int | None = None
    numa: int | None = None

    def admits(self, device: Device) -> bool:
        """Whether a device is one of those that are asked for."""
        return (
            self.kind in (None, device.kind)
            and self.model.lower() in device.model.lower()
            and (self.memory is None or (device.memory is not None and device.memory >= self.memory))
            and self.numa in (None, device.numa)
        )


def leasable(host: Host) -> tuple[Device, ...]:
    """The accelerators of a host that can be leased: those that have a name and a node."""
    numa = {device.address: device.numa_node for device in host.pci}
    memory = {gpu.address: gpu.health.memory_total for gpu in host.details.nvml.gpus} if host.details else {}
    found = [
        Device(Kind.GPU, gpu.uuid, gpu.rank, gpu.address, gpu.model, numa.get(gpu.address, -1), memory.get(gpu.address),
               (f"/dev/nvidia{gpu.minor}",))
        for gpu in (host.nvidia.gpus if host.nvidia else ())
        if gpu.uuid and gpu.minor is not None
    ]  # fmt: skip
    found += [
        Device(
            Kind.TPU,
            chip.address,
            chip.rank,
            chip.address,
            chip.generation,
            numa.get(chip.address, -1),
            None,
            chip.nodes,
        )
        for chip in host.tpus
        if chip.nodes and not chip.problem
    ]
    return tuple(found)


def require_sight(host: Host, every: Sequence[Device]) -> None:
    """That a host has nothing to lease is said only of one that could be looked at.

    Errors: InputError where no accelerator was found, and something that tells of them was not seen.
    """
    hidden = next((each for each in host.unseen if each.path in _TELLING), None)
    if not every and hidden is not None:
        raise InputError(
            f"no accelerator was found, but {hidden.path} could not be seen: {hidden.why}",
            hint="'devproxy probe' lists what was not seen",
        )


def candidates(wanted: Wanted, devices: Sequence[Device]) -> tuple[Device, ...]:
    """The devices that may be given for what is asked.

    Errors: InputError, at once, for what this host can never give.
    """
    fitting = [device for device in devices if wanted.admits(device)]
    kinds = {device.kind for device in fitting}
    if wanted.kind is None and len(kinds) > 1:
        raise InputError(
            "this host has GPUs and TPUs, and --kind does not say which", hint="add --kind gpu or --kind tpu"
        )
    if len(fitting) < wanted.number or wanted.number < 1:
        raise InputError(f"{_asked(wanted)} asked for, of which this host has {len(fitting)}: {_listed(devices)}")
    if kinds == {Kind.TPU} and not any(True for _ in _groups(wanted.number, fitting, devices)):
        raise InputError(
            f"{wanted.number} TPU chips asked for, which libtpu cannot use of a host's {_chips(devices)}",
            hint="1, 2, 4 or all of them",
        )
    return tuple(fitting)


def groups(wanted: Wanted, fitting: Sequence[Device], every: Sequence[Device]) -> Iterator[tuple[Device, ...]]:
    """The sets that may be given together, the first ones first. For GPUs that is any set: then one that has them all, of
    which any `number` will do.
    """
    if fitting and fitting[0].kind is Kind.TPU:
        yield from _groups(wanted.number, fitting, every)
    else:
        yield tuple(fitting)


def _groups(number: int, fitting: Sequence[Device], every: Sequence[Device]) -> Iterator[tuple[Device, ...]]:
    """Neighbours in the host's mesh: chips that begin at a multiple of their number; or all of them."""
    chips = sorted((device for device in every if device.kind is Kind.TPU), key=lambda chip: chip.rank)
    if number not in _TPU_BOUNDS and number != len(chips):
        return
    for first in range(0, len(chips) - number + 1, number):
        group = tuple(chips[first : first + number])
        if all(chip in fitting for chip in group):
            yield group


def environment(scope: Scope, every: Sequence[Device]) -> dict[str, str]:
    """The variables that tell a command, and what it starts, which accelerators are its own, and by which lease."""
    return {"DEVPROXY_LEASE_ID": scope.ident, **_visible(scope.devices, every)}


def _visible(given: Sequence[Device], every: Sequence[Device]) -> dict[str, str]:
    names = ",".join(device.name for device in given)
    if given[0].kind is Kind.GPU:
        order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        return {"CUDA_VISIBLE_DEVICES": names, "NVIDIA_VISIBLE_DEVICES": names, **order, "DEVPROXY_LEASE": names}
    ranks = ",".join(str(chip.rank) for chip in given)
    found = {"TPU_VISIBLE_CHIPS": ranks, "TPU_VISIBLE_DEVICES": ranks, "DEVPROXY_LEASE": names}
    if len(given) == _chips(every):
        return found  # all of them: libtpu finds the bounds itself
    bounds = _TPU_BOUNDS[len(given)]
    per = {"TPU_CHIPS_PER_HOST_BOUNDS": bounds, "TPU_CHIPS_PER_PROCESS_BOUNDS": bounds}
    return {**found, **per, "TPU_HOST_BOUNDS": "1,1,1", "TPU_PROCESS_BOUNDS": "1,1,1"}


def _chips(devices: Sequence[Device]) -> int:
    return sum(device.kind is Kind.TPU for device in devices)


def _asked(wanted: Wanted) -> str:
    told = [f"{wanted.number} {wanted.kind.value if wanted.kind else 'accelerator'}{'' if wanted.number == 1 else 's'}"]
    told += [f"of model {wanted.model!r}"] if wanted.model else []
    told += [f"with {size_text(wanted.memory)} of memory"] if wanted.memory is not None else []
    told += [f"on NUMA node {wanted.numa}"] if wanted.numa is not None else []
    return " ".join(told)


def _listed(devices: Sequence[Device]) -> str:
    """`8 gpu (NVIDIA H100 80GB HBM3)`: how many of which there are."""
    models: dict[str, int] = {}
    for device in devices:
        name = f"{device.kind.value} ({device.model})" if device.model else device.kind.value
        models[name] = models.get(name, 0) + 1
    return ", ".join(f"{number} {name}" for name, number in models.items()) or "no accelerator"
