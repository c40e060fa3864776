"""Kernel modules: loaded by modprobe(8), and believed to be there once /proc/devices lists their driver."""

from __future__ import annotations

from devproxy.errors import DevproxyError
from devproxy.host.proc_devices import PROC_DEVICES, parse_majors
from devproxy.process import find_program, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from devproxy.jobs.setup.action import Action, ModuleChange

_SECONDS: Final = 60.0


class NotLoaded(DevproxyError):
    """A module that is not there, must not be loaded or cannot be unloaded: nothing was changed, and somebody has to see to it."""


def change_module(action: ModuleChange, note: Callable[[Action], None]) -> None:
    """Load or unload it. A module that is on a blacklist stays out (`-b`): somebody put it there.

    Errors: NotLoaded, with what to type.
    """
    if is_listed(action.driver) == action.load:
        return  # somebody was quicker, and it is his
    modprobe = find_program("modprobe")
    if modprobe is None:
        hint = f"apt-get install kmod; {action.command}"
        raise NotLoaded(f"{action.path} is not loaded, and there is no modprobe here", hint=hint)
    note(action)
    done = run([modprobe, "-b" if action.load else "-r", action.path], check=False, timeout=_SECONDS)
    if is_listed(action.driver) == action.load:
        return
    said = done.err.strip().rpartition("\n")[2]
    raise _not_loaded(action, modprobe, said) if action.load else _not_unloaded(action, said)


def is_listed(driver: str) -> bool:
    """Whether a driver has a character major now. Errors: DevproxyError where that cannot be read."""
    try:
        with open(PROC_DEVICES, encoding="utf-8", errors="backslashreplace") as file:
            sections, _ = parse_majors(file.read())
    except OSError as error:
        raise DevproxyError(f"{PROC_DEVICES} cannot be read: {(error.strerror or '').lower()}") from error
    return any(line.name == driver for line in sections["Character devices:"])


def _not_loaded(action: ModuleChange, modprobe: str, said: str) -> NotLoaded:
    """Why a module did not come; modprobe itself says nothing of a blacklist."""
    name = _name(action)
    settings = run([modprobe, "-c"], check=False, timeout=_SECONDS).out.split("\n")
    for line in settings:
        if line.replace("-", "_").split()[:2] in (["blacklist", name], ["install", name]):
            hint = f"grep -rE 'nvidia[-_]' /etc/modprobe.d /lib/modprobe.d; then {action.command}"
            return NotLoaded(f"{action.path} is kept from being loaded by the setting {line.strip()!r}", hint=hint)
    if said:
        hint = f"install the driver for this kernel (dkms status), then {action.command}"
        return NotLoaded(f"{action.path} cannot be loaded: {said}", hint=hint)
    told = f"modprobe ended without an error, but {PROC_DEVICES} lists no {action.driver}"
    return NotLoaded(told, hint=f"dmesg | tail; {action.command}")


def _not_unloaded(action: ModuleChange, said: str) -> NotLoaded:
    told = said or f"{action.driver} is still in {PROC_DEVICES}"
    return NotLoaded(
        f"{action.path} cannot be unloaded: {told}", hint=f"lsmod | grep {_name(action)}; {action.command}"
    )


def _name(action: ModuleChange) -> str:
    """A module's name as the kernel has it."""
    return action.path.replace("-", "_")
