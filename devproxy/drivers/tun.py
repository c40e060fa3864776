"""/dev/net/tun: makes network interfaces (Documentation/networking/tuntap.rst; drivers/net/tun.c).

It opens; making an interface needs a network, which a root in memory does not have, so nobody is allowed to (S10).
"""

from __future__ import annotations

import errno
import os

from devproxy.host.facts import Host
from vfs.device import DeviceKind, DeviceNumber, DeviceTable, OpenDevice, Registration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

NUMBER: Final = DeviceNumber(10, 200)
TUNSETIFF: Final = 0x4004_54CA


class Tun(OpenDevice):
    """An open file that no interface is attached to."""

    def read(self, size: int, offset: int) -> bytes:
        """Errors: EBADFD: no interface is attached."""
        raise _error(errno.EBADFD)

    def write(self, data: bytes, offset: int) -> int:
        """Errors: EBADFD: no interface is attached."""
        raise _error(errno.EBADFD)

    def ioctl(self, request: int, argument: object) -> object:
        """Errors: EPERM for TUNSETIFF, as without CAP_NET_ADMIN; EBADFD for what needs an interface."""
        raise _error(errno.EPERM if request == TUNSETIFF else errno.EBADFD)


class TunDriver:
    """Opens unattached files."""

    def open(self, number: DeviceNumber, flags: int) -> OpenDevice:
        """An open file without an interface."""
        return Tun()


def register(table: DeviceTable, host: Host) -> None:
    """Register character device 10:200."""
    table.register(Registration(DeviceKind.CHARACTER, NUMBER, TunDriver(), "misc", "net/tun"))


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
