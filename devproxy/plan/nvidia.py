"""NVIDIA devices in a plan: recognised in the spec, or selected from the host by the environment (S72, S76 to S79)."""

from __future__ import annotations

from devproxy.errors import InputError
from devproxy.host.facts import Host, NvidiaGpu
from devproxy.node import Fixed, Identity, NodeKind, OfDriver
from devproxy.oci.json_path import quote
from devproxy.oci.nvidia_env import VISIBLE_DEVICES, GpuId, VisibleDevices
from devproxy.oci.spec import Device
from devproxy.plan.steps import Level, MakeNode, Reason, Skip, Step

# Which driver is behind a path; a trailing number is left out. The minor is the spec's own: a GPU may be renamed.
_PATHS = {
    "/dev/nvidiactl": "nvidia",
    "/dev/nvidia-modeset": "nvidia",
    "/dev/nvidia-uvm": "nvidia-uvm",
    "/dev/nvidia-uvm-tools": "nvidia-uvm",
    "/dev/nvidia-nvswitchctl": "nvidia-nvswitch",
    "/dev/nvidia-nvlink": "nvidia-nvlink",
    "/dev/nvidia-vgpuctl": "nvidia-vgpu-vfio",
    "/dev/gdrdrv": "gdrdrv",
}
_NUMBERED_PATHS = {
    "/dev/nvidia": "nvidia",
    "/dev/nvidia-caps/nvidia-cap": "nvidia-caps",
    "/dev/nvidia-caps-imex-channels/channel": "nvidia-caps-imex-channels",
    "/dev/nvidia-nvswitch": "nvidia-nvswitch",
    "/dev/nvidia-vgpu": "nvidia-vgpu-vfio",
    "/dev/nvidia-fs": "nvidia-fs",
}
# Names in /proc/devices that are other names of `nvidia` (Host.major_of knows the first one too).
_ALIASES = {"nvidia-frontend": "nvidia", "nvidiactl": "nvidia", "nvidia-modeset": "nvidia"}
_DRIVERS = {*_PATHS.values(), *_NUMBERED_PATHS.values(), *_ALIASES}

_CTL_MINOR = 255
_ENV_SOURCE = f"process.env {VISIBLE_DEVICES}"


class NvidiaDrivers:
    """Tells which devices of a spec are NVIDIA's, by a table of paths, then by the host's majors."""

    def __init__(self, host: Host) -> None:
        self._host = host
        # Of several names of one major the first one counts, as in Host.driver_of.
        self._names = {line.major: line.name for line in reversed(host.character)}

    def driver_of(self, device: Device) -> str | None:
        """The driver behind a device of the spec, or None if it is not one of NVIDIA's."""
        if device.kind is not NodeKind.CHARACTER or device.number is None:
            return None
        driver = _PATHS.get(device.path)
        base = device.path.rstrip("0123456789")
        if driver is None and base != device.path:
            driver = _NUMBERED_PATHS.get(base)
        if driver is None:
            name = self._names.get(device.number.major, "")
            driver = _ALIASES.get(name, name) if name in _DRIVERS else None
        return driver

    def identity_of(self, device: Device) -> Identity | None:
        """Who decides the number of a device of the spec; None if the spec itself does.

        The major of `nvidia` is fixed (195): where the host does not list it, the spec's number stands. All others are
        dynamic.
        """
        driver = self.driver_of(device)
        if driver is None or device.number is None:
            return None
        if driver == "nvidia" and self._host.major_of(driver) is None:
            return Fixed(device.number)
        return OfDriver(driver, device.number.minor)


def selected_nodes(visible: VisibleDevices, host: Host) -> list[Step]:
    """The nodes that docker mode makes with /dev: nvidiactl, nvidia-uvm, and one for each GPU (S79).

    Errors: InputError for an id that names no GPU of this host, or a MIG device.
    """
    gpus = [] if host.nvidia is None else list(host.nvidia.gpus)
    chosen = gpus if visible.all else _chosen(visible.ids, gpus)
    if host.major_of("nvidia") is None:
        level = Level.WARNING if visible.all or visible.ids else Level.NOTE
        return [_skip(f"the GPUs of {quote(visible.value)}", "the host has no NVIDIA driver", level)]
    reason = Reason(_ENV_SOURCE, visible.value)
    steps: list[Step] = [
        _node("/dev/nvidiactl", OfDriver("nvidia", _CTL_MINOR), reason),
        _node("/dev/nvidia-uvm", OfDriver("nvidia-uvm", 0), reason),
    ]
    steps += [_gpu_step(gpu, visible.value) for gpu in chosen]
    return steps


def _chosen(ids: tuple[GpuId, ...], gpus: list[NvidiaGpu]) -> list[NvidiaGpu]:
    """The GPUs that the ids name, in the ids' order; one that is named twice counts once."""
    by_id = {str(gpu.rank): gpu for gpu in gpus} | {gpu.uuid.lower(): gpu for gpu in gpus if gpu.uuid}
    chosen: dict[int, NvidiaGpu] = {}
    for wanted in ids:
        if wanted.is_mig:
            raise InputError(
                f"{VISIBLE_DEVICES} names the MIG device {quote(wanted.text)} at position {wanted.position}, "
                "MIG is not supported yet",
                hint="name whole GPUs, by index or UUID",
            )
        index = wanted.text.lstrip("0") or "0"
        gpu = by_id.get(index if wanted.text.isdecimal() else wanted.text.lower())
        if gpu is None:
            raise InputError(
                f"{VISIBLE_DEVICES} names {quote(wanted.text)} at position {wanted.position}, "
                f"expected a GPU of this host: {_known(gpus)}",
                hint="an id is an index as nvidia-smi shows it, or a whole GPU-... UUID",
            )
        chosen[gpu.rank] = gpu
    return list(chosen.values())


def _known(gpus: list[NvidiaGpu]) -> str:
    return ", ".join(f"{gpu.rank} ({gpu.uuid or gpu.address})" for gpu in gpus) or "it has none"


def _gpu_step(gpu: NvidiaGpu, value: str) -> Step:
    if gpu.minor is None:
        return _skip(f"GPU {gpu.rank} ({gpu.address})", f"{gpu.source} does not tell its device minor", Level.WARNING)
    reason = Reason(_ENV_SOURCE, f"{value}: GPU {gpu.rank} at {gpu.address}")
    return _node(f"/dev/nvidia{gpu.minor}", OfDriver("nvidia", gpu.minor), reason)


def _node(path: str, identity: Identity, reason: Reason) -> MakeNode:
    return MakeNode(path, NodeKind.CHARACTER, identity, 0o666, None, None, "", reason)


def _skip(what: str, why: str, level: Level) -> Skip:
    return Skip("/dev", what, level, Reason(_ENV_SOURCE, why))
