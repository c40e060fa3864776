"""What the NVIDIA driver grants one by one: its capabilities, and the MIG devices that they give access to.

/proc/driver/nvidia/capabilities holds a file for each capability that exists, which tells its minor and mode;
/proc/driver/nvidia-caps lists the minors of all that could exist. Formats: MIG user guide, "Device Nodes and
Capabilities".
"""

from __future__ import annotations

from devproxy.host.facts import Capability, MigDevice
from devproxy.host.root import HostRoot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_TREE: Final = "/proc/driver/nvidia/capabilities"
_MINORS: Final = "/proc/driver/nvidia-caps"
_NVLINK: Final = "/proc/driver/nvidia-nvlink/capabilities/fabric-mgmt"
_SWITCHES: Final = "/proc/driver/nvidia-nvswitch/devices"
# How many minors the driver registers for its capabilities.
_LIMIT: Final = 8192
_MODES: Final = 1 << 12
_LINE: Final = (
    r"(?:(config|monitor)|(fabric-imex-mgmt|fabric-mgmt)|(gpu\d{1,4})/(gi\d{1,4}/(?:ci\d{1,4}/)?access)) (\d{1,4})"
)
# Changing how GPUs are partitioned is root's business, everything else may be read by all.
_DEFAULT_MODE: Final = {"mig/config": 0o400}


def read_capabilities(root: HostRoot) -> tuple[tuple[Capability, ...], tuple[MigDevice, ...]]:
    """The capabilities that exist, and the MIG devices, by GPU and rank. A rank counts GPU instances in the order of
    their ids, and in each its compute instances.
    """
    minors = {
        **_read_minors(root, "mig-minors"),
        **_read_minors(root, "sys-minors"),
        **_read_minors(root, "nvlink-minors"),
    }
    devices = _read_mig_devices(root)
    names = ["mig/config", "mig/monitor", "fabric-imex-mgmt", "fabric-mgmt"]
    names += dict.fromkeys(name for device in devices for name in device.capabilities)
    found = [_read_capability(root, name, minors.get(name)) for name in names]
    return tuple(capability for capability in found if capability is not None), devices


def read_switches(root: HostRoot) -> tuple[str, ...]:
    """The PCI addresses of the NVSwitches that the driver holds."""
    return tuple(root.listdir(_SWITCHES))


def parse_minors(text: str) -> tuple[dict[str, int], list[str]]:
    """The minors of a list, by the capability's path in the tree of capabilities (`gpu0/gi1/access` of a list is at
    `gpu0/mig/gi1/access`); and the lines that are none.
    """
    if not text:
        return {}, []
    # The driver lists thousands of capabilities, of which a machine has a handful: one match a line is what it may cost.
    import re

    match = re.compile(_LINE, re.ASCII).fullmatch
    minors: dict[str, int] = {}
    bad: list[str] = []
    for line in text.split("\n"):
        found = match(line)
        if found is None or int(found[5]) >= _LIMIT:
            bad += [line] if line else []
            continue
        mig, fabric, gpu, instance, minor = found.groups()
        minors[f"{gpu}/mig/{instance}" if gpu else fabric or f"mig/{mig}"] = int(minor)
    return minors, bad


def _read_minors(root: HostRoot, name: str) -> dict[str, int]:
    path = f"{_MINORS}/{name}"
    minors, bad = parse_minors(root.read_text(path) or "")
    for line in bad[:1]:
        root.note(path, f"{len(bad)} lines that are no `capability minor`, the first: {line!r}")
    return minors


def _read_capability(root: HostRoot, name: str, listed: int | None) -> Capability | None:
    """A capability by its own file, or by the list where the file is missing or silent."""
    path = _NVLINK if name == "fabric-mgmt" else f"{_TREE}/{name}"
    text = root.read_text(path)
    fields = dict(line.split(": ", 1) for line in (text or "").split("\n") if ": " in line)
    minor, mode = _number(fields.get("DeviceFileMinor", ""), _LIMIT), _number(fields.get("DeviceFileMode", ""), _MODES)
    if text is not None and (minor is None or mode is None):
        root.note(path, f"expected DeviceFileMinor and DeviceFileMode, two numbers: {text[:80]!r}")
    if minor is None:
        minor = listed
    if minor is None:
        return None
    source = path if text is not None else _MINORS
    modify = fields.get("DeviceFileModify", "1").strip() == "1"
    return Capability(name, minor, _DEFAULT_MODE.get(name, 0o444) if mode is None else mode, source, modify)


def _read_mig_devices(root: HostRoot) -> tuple[MigDevice, ...]:
    devices = []
    for gpu, path in _instances(root, _TREE, "gpu"):
        found = [
            (instance, compute, inner)
            for instance, below in _instances(root, f"{path}/mig", "gi")
            for compute, inner in _instances(root, below, "ci")
        ]
        devices += [
            MigDevice(gpu, rank, instance, compute, inner) for rank, (instance, compute, inner) in enumerate(found)
        ]
    return tuple(devices)


def _instances(root: HostRoot, directory: str, prefix: str) -> list[tuple[int, str]]:
    """The numbers behind `prefix` among the names of a directory, in order, each with its path."""
    names = root.listdir(directory)
    return sorted((n, f"{directory}/{name}") for name in names if (n := _numbered(name, prefix)) is not None)


def _numbered(name: str, prefix: str) -> int | None:
    return _number(name.removeprefix(prefix), _LIMIT) if name.startswith(prefix) else None


def _number(text: str, limit: int) -> int | None:
    # Five digits are beyond every limit here, and short enough for int().
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 5 and int(text) < limit else None
