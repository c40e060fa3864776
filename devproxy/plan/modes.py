"""Who says which accelerators the container gets (docs/architecture.md, "Modes")."""

from __future__ import annotations

from typing import NamedTuple

from devproxy.errors import InputError
from devproxy.oci.configuration import Configuration
from devproxy.oci.json_path import quote
from devproxy.oci.nvidia_env import VISIBLE_DEVICES, VisibleDevices, visible_devices
from devproxy.oci.spec import Spec
from devproxy.plan.nvidia import NvidiaDrivers
from devproxy.plan.plan import Mode
from devproxy.plan.steps import Level, Reason, Skip


class Choice(NamedTuple):
    """The mode, what the environment selects in docker mode, and what is left out because of the mode."""

    mode: Mode
    visible: VisibleDevices | None
    skipped: tuple[Skip, ...]


def choose_mode(spec: Spec, asked: str, config: Configuration, nvidia: NvidiaDrivers | None) -> Choice:
    """The mode that `asked` comes to; `auto` is spec, docker or none, the first that the bundle gives a reason for.

    Errors: InputError for a mode that does not exist, or not yet.
    """
    visible = visible_devices(spec.process.env if spec.process is not None else ())
    mode, why = _resolve(asked, config, nvidia, visible, listed=_lists_accelerators(spec, nvidia))
    if mode is Mode.DOCKER and visible is None:
        return Choice(mode, None, (_skip("the GPUs of docker mode", f"{VISIBLE_DEVICES} asks for none"),))
    if mode is not Mode.DOCKER and visible is not None:
        return Choice(mode, None, (_skip(f"the GPUs of {quote(visible.value)}", why),))
    return Choice(mode, visible, ())


def _resolve(
    asked: str, config: Configuration, nvidia: NvidiaDrivers | None, visible: VisibleDevices | None, *, listed: bool
) -> tuple[Mode, str]:
    """The mode, and why the environment is not used when it is not."""
    if asked == "cdi":
        raise InputError("mode is cdi, which is not supported yet", hint="the modes are auto, docker, spec and none")
    if asked not in ("auto", *(mode.value for mode in Mode)):
        raise InputError(f"mode is {quote(asked)}, expected auto, docker, spec or none")
    if nvidia is None:
        return Mode.SPEC if asked == "spec" else Mode.NONE, "nvproxy is false"
    if asked != "auto":
        return Mode(asked), f"the mode is {asked}"
    if listed:
        return Mode.SPEC, "linux.devices lists accelerators, so the mode is spec"
    if visible is not None and config.nvproxy_docker is not False:
        return Mode.DOCKER, ""
    return Mode.NONE, "nvproxy-docker is false"


def _lists_accelerators(spec: Spec, nvidia: NvidiaDrivers | None) -> bool:
    return nvidia is not None and nvidia.are_in(spec)


def _skip(what: str, why: str) -> Skip:
    return Skip("/dev", what, Level.NOTE, Reason(f"process.env {VISIBLE_DEVICES}", why))
