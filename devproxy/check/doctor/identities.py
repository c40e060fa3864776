"""Which device a node should be, by its path: NVIDIA's names and minors (nvidia-modprobe's nvidia-modprobe-utils.h)."""

from __future__ import annotations

from devproxy.host.facts import Host, HostNode
from devproxy.node import OfDriver
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

_NAMED: Final = {
    "/dev/nvidiactl": OfDriver("nvidia", 255),
    "/dev/nvidia-modeset": OfDriver("nvidia", 254),
    "/dev/nvidia-uvm": OfDriver("nvidia-uvm", 0),
    "/dev/nvidia-uvm-tools": OfDriver("nvidia-uvm", 1),
    "/dev/nvidia-nvswitchctl": OfDriver("nvidia-nvswitch", 255),
    "/dev/nvidia-nvlink": OfDriver("nvidia-nvlink", 0),
    "/dev/nvidia-vgpuctl": OfDriver("nvidia-vgpu-vfio", 0),
    "/dev/gdrdrv": OfDriver("gdrdrv", 0),
    "/dev/kfd": OfDriver("kfd", 0),
}
_NUMBERED: Final = (
    ("/dev/nvidia-caps-imex-channels/channel", "nvidia-caps-imex-channels"),
    ("/dev/nvidia-caps/nvidia-cap", "nvidia-caps"),
    ("/dev/nvidia-nvswitch", "nvidia-nvswitch"),
    ("/dev/nvidia-vgpu", "nvidia-vgpu-vfio"),
    ("/dev/nvidia", "nvidia"),
)
# The only major of these that never changes.
NVIDIA_MAJOR: Final = 195


class Wanted(Record):
    """A node that something asks for: where, which device, what asks for it and where that was read. Without `needed` its
    absence is a nuisance, not a fault.
    """

    path: str
    device: OfDriver
    why: str
    source: str
    needed: bool = True


def identity_of(path: str) -> OfDriver | None:
    """The device that a node of this name is on every host; None for names that do not tell."""
    if path in _NAMED:
        return _NAMED[path]
    for prefix, driver in _NUMBERED:
        digits = path.removeprefix(prefix)
        if digits != path and digits.isascii() and digits.isdigit() and len(digits) <= 7:
            return OfDriver(driver, int(digits))
    return None


def is_nvidia(path: str) -> bool:
    """Whether a path is NVIDIA's."""
    return path.startswith("/dev/nvidia")


def driver_is_loaded(host: Host) -> bool:
    """Whether NVIDIA's driver is loaded, by what it registers, says or is listed as."""
    nvidia = host.nvidia
    if host.major_of("nvidia") is not None or (nvidia is not None and bool(nvidia.version)):
        return True
    if nvidia is not None and any(gpu.source.startswith("/proc/driver/nvidia/") for gpu in nvidia.gpus):
        return True
    return module_is_loaded(host, "nvidia") is True


def module_is_loaded(host: Host, name: str) -> bool | None:
    """Whether a module is loaded; None where the list was not seen."""
    modules = host.details.system.modules if host.details is not None else None
    if modules is None:
        # A report may show that grep found nothing in the list, and nothing else of it.
        return _absent(host, name) if host.coverage is not None else None
    # A report may show a part of the list: then absence means nothing.
    return True if any(module.name == name for module in modules) else _absent(host, name)


def _absent(host: Host, name: str) -> bool | None:
    return False if host.knows_entry("/proc/modules", name) else None


def wanted_nodes(host: Host) -> Iterator[Wanted]:
    """The nodes that this host's driver has devices for."""
    if not driver_is_loaded(host):
        return
    for gpu in host.nvidia.gpus if host.nvidia is not None else ():
        if gpu.minor is not None:
            yield Wanted(f"/dev/nvidia{gpu.minor}", OfDriver("nvidia", gpu.minor), f"GPU {gpu.address}", gpu.source)
    yield Wanted("/dev/nvidiactl", _NAMED["/dev/nvidiactl"], "the NVIDIA driver is loaded", "/proc/devices")
    if host.major_of("nvidia-uvm") is not None:
        why = "nvidia-uvm is loaded: CUDA needs it"
        yield Wanted("/dev/nvidia-uvm", _NAMED["/dev/nvidia-uvm"], why, "/proc/devices")
        tools = "nvidia-uvm is loaded: profilers need it"
        yield Wanted("/dev/nvidia-uvm-tools", _NAMED["/dev/nvidia-uvm-tools"], tools, "/proc/devices", needed=False)
    yield from _switches(host)


def _switches(host: Host) -> Iterator[Wanted]:
    if host.nvidia is None or host.major_of("nvidia-nvswitch") is None:
        return
    for number, address in enumerate(host.nvidia.switches):
        source = f"/proc/driver/nvidia-nvswitch/devices/{address}"
        device = OfDriver("nvidia-nvswitch", number)
        yield Wanted(f"/dev/nvidia-nvswitch{number}", device, f"NVSwitch {address}", source)


def describe(node: HostNode) -> str:
    """`195:0 crw-rw-rw- root:root`, with numbers for the owners."""
    import stat

    return f"{node.number} {node.kind.value}{stat.filemode(node.mode)[1:]} {node.uid}:{node.gid}"
