"""The NVIDIA nodes of docker mode: what the environment asks for, made with /dev (S79; H9 to H11)."""

from __future__ import annotations

from devproxy.errors import InputError
from devproxy.host.facts import Host, Nvidia
from devproxy.node import Identity, NodeKind, OfDriver
from devproxy.oci.configuration import Configuration
from devproxy.oci.json_path import quote
from devproxy.oci.nvidia_env import VisibleDevices
from devproxy.oci.nvidia_env_request import (
    IMEX_CHANNELS,
    MIG_CONFIG,
    MIG_MONITOR,
    ImexChannels,
    Request,
    parse_request,
)
from devproxy.oci.spec import Process
from devproxy.plan.nvidia_select import Selected, select
from devproxy.plan.steps import Level, MakeDirectory, MakeNode, Reason, Skip, Step

_CTL_MINOR = 255
_MODESET_MINOR = 254
_UVM_TOOLS_MINOR = 1
_CAPS = "/dev/nvidia-caps"
_IMEX = "/dev/nvidia-caps-imex-channels"
_IMEX_DRIVER = "nvidia-caps-imex-channels"


def docker_nodes(visible: VisibleDevices, process: Process | None, host: Host, config: Configuration) -> list[Step]:
    """The nodes that docker mode makes with /dev for a process whose environment asks for `visible`: nvidiactl,
    nvidia-uvm, those of the GPUs and MIG devices, and what else is asked for.

    Errors: InputError for what the environment may not ask for, and for what this host cannot give.
    """
    capabilities = None if process is None else process.capabilities
    request = parse_request(
        () if process is None else process.env,
        visible,
        allowed=config.nvproxy_allowed_driver_capabilities,
        privileged=capabilities is not None and "CAP_SYS_ADMIN" in capabilities.bounding,
    )
    return _requested_nodes(request, host)


def _requested_nodes(request: Request, host: Host) -> list[Step]:
    visible = request.visible
    source = f"process.env {visible.source}"
    chosen = select(visible, host)
    if host.major_of("nvidia") is None or host.nvidia is None:
        level = Level.WARNING if visible.all or visible.ids else Level.NOTE
        return [_skip(f"the GPUs of {quote(visible.value)}", Reason(source, _why_none(host)), level)]
    steps = _driver_nodes(request, host, Reason(source, visible.value))
    for each in chosen:
        steps += _gpu_steps(each, host.nvidia, Reason(source, visible.value))
    steps += _capability_steps(request, chosen, host.nvidia, source)
    if request.imex is not None:
        steps += _imex_steps(request.imex, host)
    return steps


def _why_none(host: Host) -> str:
    """Every kernel lists some character majors: a host without any was not looked at."""
    if not host.character:
        return "/proc/devices of the host was not seen, so whether it has an NVIDIA driver cannot be told"
    return "the host has no NVIDIA driver"


def _driver_nodes(request: Request, host: Host, reason: Reason) -> list[Step]:
    """Those of the driver as a whole. nvidia-uvm-tools and nvidia-modeset are for some capabilities alone, and only
    where the host has them: not every program needs them.
    """
    steps: list[Step] = [
        _node("/dev/nvidiactl", OfDriver("nvidia", _CTL_MINOR), 0o666, reason),
        _node("/dev/nvidia-uvm", OfDriver("nvidia-uvm", 0), 0o666, reason),
    ]
    for capability, path, identity in (
        ("compute", "/dev/nvidia-uvm-tools", OfDriver("nvidia-uvm", _UVM_TOOLS_MINOR)),
        ("display", "/dev/nvidia-modeset", OfDriver("nvidia", _MODESET_MINOR)),
    ):
        if capability in request.capabilities and host.node(path) is not None:
            steps.append(_node(path, identity, 0o666, Reason(reason.source, f"driver capability {capability}")))
    return steps


def _gpu_steps(selected: Selected, nvidia: Nvidia, reason: Reason) -> list[Step]:
    gpu = selected.gpu
    if gpu.minor is None:
        why = Reason(reason.source, f"{gpu.source} does not tell its device minor")
        return [_skip(f"GPU {gpu.rank} ({gpu.address})", why, Level.WARNING)]
    note = f"{reason.note}: GPU {gpu.rank} at {gpu.address}"
    steps: list[Step] = [
        _node(f"/dev/nvidia{gpu.minor}", OfDriver("nvidia", gpu.minor), 0o666, Reason(reason.source, note))
    ]
    if not selected.mig and any(mig.gpu == gpu.minor for mig in nvidia.mig):
        why = Reason(reason.source, "only the GPU is named: CUDA finds nothing that it can use")
        steps.append(_skip(f"the MIG devices of GPU {gpu.rank}", why, Level.NOTE))
    return steps


# capabilities


def _capability_steps(request: Request, chosen: list[Selected], nvidia: Nvidia, source: str) -> list[Step]:
    """The nodes below /dev/nvidia-caps, each once: of the MIG devices, and for managing them."""
    wanted: dict[str, Reason] = {}
    for name, variable, asked in (
        ("mig/config", MIG_CONFIG, request.mig_config),
        ("mig/monitor", MIG_MONITOR, request.mig_monitor),
    ):
        if asked:
            wanted[name] = Reason(f"process.env {variable}", "all")
    for gpu, devices in chosen:
        for mig, told in devices:
            reason = Reason(source, f"MIG device {gpu.rank}:{mig.rank}{told}")
            for name in mig.capabilities:
                wanted.setdefault(name, reason)
    steps = [_capability_step(name, reason, nvidia) for name, reason in wanted.items()]
    first = next((step for step in steps if isinstance(step, MakeNode)), None)
    return steps if first is None else [MakeDirectory(_CAPS, 0o755, first.reason), *steps]


def _capability_step(name: str, reason: Reason, nvidia: Nvidia) -> Step:
    capability = nvidia.capability(name)
    if capability is None:
        return _skip(
            f"the capability {name}", Reason(reason.source, "the driver does not tell its minor"), Level.WARNING
        )
    return _node(capability.node, OfDriver("nvidia-caps", capability.minor), capability.mode, reason)


# IMEX channels


def _imex_steps(imex: ImexChannels, host: Host) -> list[Step]:
    source = f"process.env {IMEX_CHANNELS}"
    major = host.major_of(_IMEX_DRIVER)
    made = {node.number.minor: node.mode for node in host.nodes if node.number.major == major}
    if imex.all and not made:
        return [_skip("the IMEX channels", Reason(source, "the host has made none"), Level.WARNING)]
    if not imex.all:
        _refuse_channels(imex.numbers, host)
    reason = Reason(source, imex.value)
    return [
        MakeDirectory(_IMEX, 0o755, reason),
        *(
            _node(f"{_IMEX}/channel{number}", OfDriver(_IMEX_DRIVER, number), made.get(number, 0o666), reason)
            for number in (sorted(made) if imex.all else imex.numbers)
        ),
    ]


def _refuse_channels(numbers: tuple[int, ...], host: Host) -> None:
    """Errors: InputError for a channel that this driver cannot have."""
    if host.major_of(_IMEX_DRIVER) is None:
        raise InputError(
            f"{IMEX_CHANNELS} asks for channel {numbers[0]}, expected a host with IMEX channels: "
            f"{_IMEX_DRIVER} is not in /proc/devices",
            hint="load a driver that has them, or take the variable out of process.env",
        )
    count = "" if host.nvidia is None else host.nvidia.param("ImexChannelCount") or ""
    limit = int(count) if count.isascii() and count.isdigit() and len(count) <= 7 else 1 << 20
    beyond = next((number for number in numbers if number >= limit), None)
    if beyond is not None:
        raise InputError(
            f"{IMEX_CHANNELS} asks for channel {beyond}, expected one from 0 to {limit - 1}",
            hint="the driver's parameter ImexChannelCount says how many there are",
        )


def _node(path: str, identity: Identity, mode: int, reason: Reason) -> MakeNode:
    return MakeNode(path, NodeKind.CHARACTER, identity, mode, None, None, "", reason)


def _skip(what: str, reason: Reason, level: Level) -> Skip:
    return Skip("/dev", what, level, reason)
