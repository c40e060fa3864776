"""Which GPUs and MIG devices of a host the ids of NVIDIA_VISIBLE_DEVICES name (S77)."""

from __future__ import annotations

from devproxy.errors import InputError
from devproxy.host.facts import MigDevice, Nvidia, NvidiaGpu
from devproxy.oci.json_path import quote
from devproxy.oci.nvidia_env import GpuId, VisibleDevices
from devproxy.record import Record


class Selected(Record):
    """A GPU, and those of its MIG devices that are selected with it."""

    gpu: NvidiaGpu
    mig: tuple[MigDevice, ...]


class _Named(Record):
    gpu: NvidiaGpu
    mig: MigDevice | None


def select(visible: VisibleDevices, nvidia: Nvidia | None) -> list[Selected]:
    """The GPUs that are asked for, in the order in which they are first named; what is named twice counts once. `all`
    takes every MIG device too, and a MIG device its GPU.

    Errors: InputError for an id that names nothing on this host.
    """
    if nvidia is None:
        nvidia = Nvidia("", (), ())
    if visible.all:
        return [Selected(gpu, tuple(_mig_of(gpu, nvidia))) for gpu in nvidia.gpus]
    names = _names(nvidia)
    chosen: dict[int, Selected] = {}
    for wanted in visible.ids:
        found = names.get(_normal(wanted.text))
        if found is None:
            raise _unknown(wanted, visible.source, nvidia)
        gpu, mig = found
        before = chosen.get(gpu.rank, Selected(gpu, ()))
        devices = before.mig if mig is None or mig in before.mig else (*before.mig, mig)
        chosen[gpu.rank] = Selected(gpu, devices)
    return list(chosen.values())


def _names(nvidia: Nvidia) -> dict[str, _Named]:
    """Every id that names something here. Only NVML knows the UUIDs of MIG devices, so those are not among them."""
    names: dict[str, _Named] = {}
    for gpu in nvidia.gpus:
        uuid = (gpu.uuid or "").lower()
        names[str(gpu.rank)] = _Named(gpu, None)
        if uuid:
            names[uuid] = _Named(gpu, None)
        for mig in _mig_of(gpu, nvidia):
            names[f"{gpu.rank}:{mig.rank}"] = _Named(gpu, mig)
            if uuid:
                names[f"mig-{uuid}/{mig.gpu_instance}/{mig.compute_instance}"] = _Named(gpu, mig)
    return names


def _mig_of(gpu: NvidiaGpu, nvidia: Nvidia) -> list[MigDevice]:
    return [mig for mig in nvidia.mig if mig.gpu == gpu.minor]


def _normal(text: str) -> str:
    """An id as `_names` spells it: indices without leading zeros, UUIDs in small letters."""
    parts = text.split(":")
    if all(part.isdecimal() for part in parts):
        return ":".join(part.lstrip("0") or "0" for part in parts)
    return text.lower()


def _unknown(wanted: GpuId, source: str, nvidia: Nvidia) -> InputError:
    gpus = ", ".join(f"{gpu.rank} ({gpu.uuid or gpu.address})" for gpu in nvidia.gpus) or "it has none"
    expected, hint = f"a GPU of this host: {gpus}", "an id is an index as nvidia-smi shows it, or a whole GPU-... UUID"
    if wanted.is_mig:
        known = [name for name, found in _names(nvidia).items() if found.mig is not None and ":" in name]
        expected = f"a MIG device of this host: {', '.join(known) or 'it has none'}"
        hint = (
            "a MIG device is named by the indices that nvidia-smi -L shows (0:1 is the second one of GPU 0) or as "
            "MIG-GPU-UUID/GI/CI; its own UUID is known to NVML alone"
        )
    return InputError(
        f"{source} names {quote(wanted.text)} at position {wanted.position}, expected {expected}", hint=hint
    )
