"""Who says which accelerators the container gets (docs/architecture.md, "Modes")."""

from __future__ import annotations

from devproxy.errors import InputError
from devproxy.host.facts import Host
from devproxy.node import NodeKind
from devproxy.oci.configuration import Configuration
from devproxy.oci.json_path import quote
from devproxy.oci.nvidia_env import VISIBLE_DEVICES, VisibleDevices, visible_devices
from devproxy.oci.spec import Spec
from devproxy.oci.tpu_env import EVERY_TPU, VisibleTpus, visible_tpus
from devproxy.plan.host_nodes import is_tpu_path
from devproxy.plan.nvidia import NvidiaDrivers
from devproxy.plan.plan import Mode
from devproxy.plan.steps import Level, Reason, Skip
from devproxy.record import Record

# Annotations that turn a proxy on, and its field in the configuration.
_SWITCHES = {"dev.gvisor.internal.nvproxy": "nvproxy", "dev.gvisor.internal.tpuproxy": "tpuproxy"}
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False", "")


class Choice(Record):
    """The mode, what the environment selects in docker mode, and what is left out because of the mode."""

    mode: Mode
    visible: VisibleDevices | None
    tpus: VisibleTpus | None
    skipped: tuple[Skip, ...]


def with_annotations(
    config: Configuration, annotations: tuple[tuple[str, str], ...]
) -> tuple[Configuration, tuple[Skip, ...]]:
    """The configuration with the proxies on that a bundle's annotations turn on (H6, H15), and what is told of them. Where the
    configuration says true or false itself, that holds.
    """
    told = []
    for key, value in annotations:
        field = _SWITCHES.get(key)
        if field is None or value in _FALSE:
            continue
        where, what = f"annotations[{quote(key)}]", f"turning {field} on"
        if value not in _TRUE:
            note = f"{quote(value)}, expected true or false"
            told.append(Skip("/dev", what, Level.WARNING, Reason(where, note)))
        elif getattr(config, field) is False:
            told.append(_skip(what, where, f"{field} is false"))
        else:
            config = config._replace(nvproxy=True) if field == "nvproxy" else config._replace(tpuproxy=True)
    return config, tuple(told)


def choose_mode(spec: Spec, host: Host, asked: str, config: Configuration, nvidia: NvidiaDrivers | None) -> Choice:
    """The mode that `asked` comes to; `auto` is spec, docker or none, the first that the bundle gives a reason for.

    Errors: InputError for a mode that does not exist, or not yet.
    """
    _check(asked)
    env = spec.process.env if spec.process is not None else ()
    gpus = visible_devices(env, cdi_hook=spec.cdi_hook)
    tpus = visible_tpus(env) or (EVERY_TPU if config.tpuproxy else None)
    listed = asked == "auto" and _lists_accelerators(spec, host, config, nvidia)
    no_gpus = "nvproxy is false" if nvidia is None else _against_selection(asked, listed=listed)
    if asked == "auto" and not no_gpus and config.nvproxy_docker is False:
        no_gpus = "nvproxy-docker is false"
    no_tpus = "tpuproxy is false" if config.tpuproxy is False else _against_selection(asked, listed=listed)
    skipped = []
    if gpus is not None and no_gpus:
        skipped.append(_skip(f"the GPUs of {quote(gpus.value)}", f"process.env {gpus.source}", no_gpus))
    if tpus is not None and no_tpus:
        skipped.append(_skip(f"the TPUs of {quote(tpus.value)}", tpus.source, no_tpus))
    gpus, tpus = None if no_gpus else gpus, None if no_tpus else tpus
    selects = gpus is not None or tpus is not None
    mode = _resolve(asked, listed=listed, selects=selects, possible=nvidia is not None)
    if mode is Mode.DOCKER and not selects:
        why = f"{VISIBLE_DEVICES} asks for none"
        skipped.append(_skip("the GPUs of docker mode", f"process.env {VISIBLE_DEVICES}", why))
    return Choice(mode, gpus, tpus, tuple(skipped))


def _check(asked: str) -> None:
    if asked == "cdi":
        raise InputError("mode is cdi, which is not supported yet", hint="the modes are auto, docker, spec and none")
    if asked not in ("auto", *(mode.value for mode in Mode)):
        raise InputError(f"mode is {quote(asked)}, expected auto, docker, spec or none")


def _against_selection(asked: str, *, listed: bool) -> str:
    """Why the environment does not select, or nothing."""
    if asked in ("spec", "none"):
        return f"the mode is {asked}"
    return "linux.devices lists accelerators, so the mode is spec" if listed else ""


def _resolve(asked: str, *, listed: bool, selects: bool, possible: bool) -> Mode:
    if asked == "docker":
        return Mode.DOCKER if selects or possible else Mode.NONE
    if asked != "auto":
        return Mode(asked)
    if listed:
        return Mode.SPEC
    return Mode.DOCKER if selects else Mode.NONE


def _lists_accelerators(spec: Spec, host: Host, config: Configuration, nvidia: NvidiaDrivers | None) -> bool:
    """Whether `linux.devices` has an NVIDIA device or a TPU (S72, H15), of those that are not switched off. What the host
    knows to be something else (the vfio group of a network card) is no TPU, whatever its name.
    """
    if nvidia is not None and nvidia.are_in(spec):
        return True
    others = {accelerator.path for accelerator in host.accelerators}
    if config.tpuproxy is False:
        return False
    tpus = [device for device in spec.devices or () if is_tpu_path(device.path)]
    return any(device.kind is NodeKind.CHARACTER and device.path not in others for device in tpus)


def _skip(what: str, source: str, why: str) -> Skip:
    return Skip("/dev", what, Level.NOTE, Reason(source, why))
