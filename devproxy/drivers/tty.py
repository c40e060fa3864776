"""/dev/tty: the controlling terminal of whoever opens it (tty(4)).

A root in memory has no processes, hence no controlling terminal: opening says ENXIO (S10, H26).
"""

from __future__ import annotations

import errno

from devproxy.host.facts import Host
from vfs.device import DeviceKind, DeviceNumber, DeviceTable, OpenDevice, Registration

NUMBER = DeviceNumber(5, 0)


class TtyDriver:
    """Finds no terminal."""

    def open(self, number: DeviceNumber, flags: int) -> OpenDevice:
        """Errors: ENXIO: no controlling terminal."""
        raise OSError(errno.ENXIO, "there is no controlling terminal")


def register(table: DeviceTable, host: Host) -> None:
    """Register character device 5:0."""
    table.register(Registration(DeviceKind.CHARACTER, NUMBER, TtyDriver(), "tty", "tty"))
