"""The NVIDIA devices of a host, in memory: their numbers are right, and nothing stands behind them.

Opening a node tells a wrong minor (ENODEV, what the driver says for a GPU that is not there) from a right one (ENXIO, what a
root without devices has to say). Node names and minors: the driver's README, "The NVIDIA device files"; S78, S79, H11.
"""

from __future__ import annotations

import errno

from devproxy.host.facts import Host
from devproxy.node import NodeKind
from vfs.device import DeviceKind, DeviceNumber, DeviceTable, OpenDevice, Registration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_LAST_GPU_MINOR: Final = 247
_MODESET_MINOR: Final = 254
_CONTROL_MINOR: Final = 255
_CAPS: Final = "nvidia-caps"
# Every driver of the NVIDIA stack with a major of its own; their minors are those of the host's nodes.
_COMPANIONS: Final = (
    "nvidia-uvm",
    _CAPS,
    "nvidia-caps-imex-channels",
    "nvidia-nvswitch",
    "nvidia-nvlink",
    "nvidia-vgpu-vfio",
    "nvidia-fs",
    "gdrdrv",
)


class NvidiaDriver:
    """Knows which minors the host has."""

    def __init__(self, host: str, minors: frozenset[int]) -> None:
        self._host = host
        self._minors = minors

    def open(self, number: DeviceNumber, flags: int) -> OpenDevice:
        """Errors: ENODEV when the host has no device of that minor, else ENXIO: it is only shown here."""
        if number.minor not in self._minors:
            raise OSError(errno.ENODEV, f"host {self._host} has no NVIDIA device {number}")
        raise OSError(errno.ENXIO, f"NVIDIA device {number} of host {self._host} is shown in memory, not opened")


def register(table: DeviceTable, host: Host) -> None:
    """Register the GPUs, the control and mode-setting devices and their companions under the majors that the host lists."""
    if host.nvidia is None:
        return
    major = host.major_of("nvidia")
    if major is not None:
        gpus = frozenset(gpu.minor for gpu in host.nvidia.gpus if gpu.minor is not None)
        driver = NvidiaDriver(host.name, gpus | {_MODESET_MINOR, _CONTROL_MINOR})
        for minor in (*range(_LAST_GPU_MINOR + 1), _MODESET_MINOR, _CONTROL_MINOR):
            table.register(Registration(DeviceKind.CHARACTER, DeviceNumber(major, minor), driver, "nvidia"))
    # The driver has a capability whether somebody made its node or not.
    granted = frozenset(capability.minor for capability in host.nvidia.capabilities)
    for name in _COMPANIONS:
        _register_companion(table, host, name, granted if name == _CAPS else frozenset())


def _register_companion(table: DeviceTable, host: Host, name: str, more: frozenset[int]) -> None:
    major = host.major_of(name)
    if major is None:
        return
    nodes = [node for node in host.nodes if node.kind is NodeKind.CHARACTER and node.number.major == major]
    minors = more | {node.number.minor for node in nodes}
    driver = NvidiaDriver(host.name, minors)
    for minor in sorted(minors):
        table.register(Registration(DeviceKind.CHARACTER, DeviceNumber(major, minor), driver, name))
