"""Which GPUs and MIG devices of a host the ids of NVIDIA_VISIBLE_DEVICES name (S77)."""

from __future__ import annotations

from devproxy.errors import InputError
from devproxy.host.facts import Host, MigDevice, Nvidia, NvidiaGpu
from devproxy.oci.json_path import quote
from devproxy.oci.nvidia_env import GpuId, VisibleDevices
from devproxy.record import Record


class Named(Record):
    """What an id names: a GPU, or with `mig` one of its MIG devices. `told` says who knew, where the id is a MIG device's own UUID."""

    gpu: NvidiaGpu
    mig: MigDevice | None
    told: str = ""


class Selected(Record):
    """A GPU, and those of its MIG devices that are selected with it, each with who told which one it is (`Named.told`)."""

    gpu: NvidiaGpu
    mig: tuple[tuple[MigDevice, str], ...]


def select(visible: VisibleDevices, host: Host) -> list[Selected]:
    """The GPUs that are asked for, in the order in which they are first named; what is named twice counts once. `all`
    takes every MIG device too, and a MIG device its GPU.

    Errors: InputError for an id that names nothing on this host; NvmlUnasked for one of which NVML alone knows whether it does, where
    it was not asked.
    """
    nvidia = host.nvidia if host.nvidia is not None else Nvidia("", (), ())
    if visible.all:
        return [Selected(gpu, tuple((mig, "") for mig in mig_of(gpu, nvidia))) for gpu in nvidia.gpus]
    names = _names(nvidia)
    chosen: dict[int, Selected] = {}
    for wanted in visible.ids:
        gpu, mig, told = names.get(_normal(wanted.text)) or _named_otherwise(wanted, visible.source, host)
        before = chosen.get(gpu.rank, Selected(gpu, ()))
        if mig is not None and all(mig != each for each, _ in before.mig):
            before = Selected(gpu, (*before.mig, (mig, told)))
        chosen[gpu.rank] = before
    return list(chosen.values())


def mig_of(gpu: NvidiaGpu, nvidia: Nvidia) -> list[MigDevice]:
    """The MIG devices of a GPU."""
    return [mig for mig in nvidia.mig if mig.gpu == gpu.minor]


def _names(nvidia: Nvidia) -> dict[str, Named]:
    """Every id that the driver's own files know. Only NVML knows the UUIDs of MIG devices, so those are not among them."""
    names: dict[str, Named] = {}
    for gpu in nvidia.gpus:
        uuid = (gpu.uuid or "").lower()
        names[str(gpu.rank)] = Named(gpu, None)
        if uuid:
            names[uuid] = Named(gpu, None)
        for mig in mig_of(gpu, nvidia):
            names[f"{gpu.rank}:{mig.rank}"] = Named(gpu, mig)
            if uuid:
                names[f"mig-{uuid}/{mig.gpu_instance}/{mig.compute_instance}"] = Named(gpu, mig)
    return names


def _normal(text: str) -> str:
    """An id as `_names` spells it: indices without leading zeros, UUIDs in small letters."""
    parts = text.split(":")
    if all(part.isdecimal() for part in parts):
        return ":".join(part.lstrip("0") or "0" for part in parts)
    return text.lower()


def _named_otherwise(wanted: GpuId, source: str, host: Host) -> Named:
    """Errors: as `select`."""
    if wanted.is_mig:
        from devproxy.plan.nvidia_mig import find_mig  # few name one so

        return find_mig(wanted, source, host)
    nvidia = host.nvidia
    gpus = ", ".join(f"{gpu.rank} ({gpu.uuid or gpu.address})" for gpu in nvidia.gpus) if nvidia is not None else ""
    raise InputError(
        f"{source} names {quote(wanted.text)} at position {wanted.position}, expected a GPU of this host: "
        f"{gpus or 'it has none'}",
        hint="an id is an index as nvidia-smi shows it, or a whole GPU-... UUID",
    )
