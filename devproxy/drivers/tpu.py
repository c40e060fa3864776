"""TPUs, DRM's accelerators and vfio's groups in memory: their numbers are right, and nothing stands behind them (S74, H14).

They are known by the host's nodes: neither a major nor a minor can be told from a name.
"""

from __future__ import annotations

import errno

from devproxy.host.facts import Host
from devproxy.node import NodeKind
from vfs.device import DeviceKind, DeviceNumber, DeviceTable, OpenDevice, Registration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# A node's path says which subsystem it is: flat accel devices are TPUs, those below /dev/accel are DRM's.
_GROUPS: Final = (("/dev/accel", "accel"), ("/dev/vfio/", "vfio"), ("/dev/dri/", "drm"), ("/dev/kfd", "kfd"))


class ShownDriver:
    """Knows whose device it would be."""

    def __init__(self, host: str, path: str) -> None:
        self._host = host
        self._path = path

    def open(self, number: DeviceNumber, flags: int) -> OpenDevice:
        """Errors: ENXIO: it is only shown here."""
        raise OSError(errno.ENXIO, f"{self._path} ({number}) of host {self._host} is shown in memory, not opened")


def register(table: DeviceTable, host: Host) -> None:
    """Register the devices behind the host's nodes, under the numbers that they have there. Of two nodes with one number
    the first counts, and a number that another driver has already is that driver's.
    """
    taken = {registration.number for registration in table if registration.kind is DeviceKind.CHARACTER}
    for node in host.nodes:
        group = next((group for prefix, group in _GROUPS if node.path.startswith(prefix)), None)
        if group is None or node.kind is not NodeKind.CHARACTER:
            continue
        number = DeviceNumber(*node.number)
        if number not in taken:
            taken.add(number)
            table.register(Registration(DeviceKind.CHARACTER, number, ShownDriver(host.name, node.path), group))
