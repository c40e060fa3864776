"""The mode and owner that the driver wants its nodes to have, and whether it wants anybody to make them.

Sources, all of them nvidia-modprobe's: /proc/driver/nvidia/params for the nodes of major 195 and IMEX channels; a file for each
capability; /proc/driver/nvidia-nvswitch/permissions and its like. nvidia-uvm's are always 0666 of root: no file is asked for them.
Modes in these files are decimal: 438 is 0666.
"""

from __future__ import annotations

from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.facts import Host

PARAMS: Final = "/proc/driver/nvidia/params"
_CAPABILITIES: Final = "nvidia-caps"
# What nvidia-modprobe takes where a file says nothing (nvidia-modprobe-utils.c, init_device_file_parameters()).
_MODE: Final = 0o666
_PLAIN_BITS: Final = 0o666
_IDS: Final = (1 << 32) - 1
_SERVICES: Final = ("nvidia-nvswitch", "nvidia-nvlink")
_CONFIGURED: Final = ("nvidia", "nvidia-caps-imex-channels", "nvidia-vgpu-vfio")


class Rights(Record):
    """Mode and owner for a node, whether it is to be made (`modify`), and where that was read. `problem` says what is wrong with
    the file; the mode is what was meant then, as far as that can be told.
    """

    mode: int
    uid: int
    gid: int
    modify: bool
    source: str
    problem: str = ""


def rights_of(host: Host, driver: str, minor: int) -> Rights | None:
    """Those of a driver's device; None for a driver that has no such file, or one that could not be read."""
    if driver == "nvidia-uvm":
        params = _of_params(host)
        return None if params is None else Rights(_MODE, 0, 0, params.modify, PARAMS)
    if driver in _CONFIGURED:
        return _of_params(host)
    if driver == _CAPABILITIES and host.nvidia is not None:
        found = next((each for each in host.nvidia.capabilities if each.minor == minor), None)
        return None if found is None else Rights(sane_mode(found.mode), 0, 0, found.modify, found.source)
    if driver in _SERVICES and host.details is not None:
        values = next((each for each in host.details.devices.services if each.name == driver), None)
        # A driver without the file has no opinion: then it is as for params that are not there.
        return _of(dict(values.values), values.source) if values is not None else _of({}, "")
    return None


def sane_mode(mode: int) -> int:
    """A mode with the bits alone that a device node can use. One like 01232, which is 666 taken for decimal, is what was meant."""
    if not mode & ~_PLAIN_BITS:
        return mode
    return int(str(mode), 8) if looks_octal(mode) else _MODE


def looks_octal(mode: int) -> bool:
    """Whether the decimal digits of a mode are an octal one: 666, 660."""
    text = str(mode)
    return len(text) == 3 and not text.strip("0246")


def _of_params(host: Host) -> Rights | None:
    if host.nvidia is None or not host.knows(PARAMS):
        return None
    return _of(dict(host.nvidia.params), PARAMS)


def _of(values: dict[str, str], source: str) -> Rights:
    problems: list[str] = []

    def number(name: str, default: int, limit: int) -> int:
        text = values.get(name, str(default))
        if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < limit:
            return int(text)
        problems.append(f"{name} is {text!r}, expected a number")
        return default

    mode = number("DeviceFileMode", _MODE, 1 << 12)
    if mode & ~_PLAIN_BITS:
        meant = f", taken for decimal: 0{sane_mode(mode):o} is {sane_mode(mode)}" if looks_octal(mode) else ""
        problems.append(f"DeviceFileMode is {mode}, which is 0{mode:o}{meant}")
    uid, gid = number("DeviceFileUID", 0, _IDS), number("DeviceFileGID", 0, _IDS)
    modify = number("ModifyDeviceFiles", 1, _IDS) == 1
    return Rights(sane_mode(mode), uid, gid, modify, source, "; ".join(problems))
