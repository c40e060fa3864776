"""/dev/fuse: the channel between a file system in userspace and its mount (fuse(4); fs/fuse/dev.c).

It opens; until a mount names the descriptor there is nobody to talk to, and here none ever does.
"""

from __future__ import annotations

import errno
import os

from devproxy.host.facts import Host
from vfs.device import DeviceKind, DeviceNumber, DeviceTable, OpenDevice, Registration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

NUMBER: Final = DeviceNumber(10, 229)


class UnmountedFuse(OpenDevice):
    """An open file that no mount uses yet."""

    def read(self, size: int, offset: int) -> bytes:
        """Errors: EPERM: not mounted."""
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    def write(self, data: bytes, offset: int) -> int:
        """Errors: EPERM: not mounted."""
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))


class FuseDriver:
    """Opens files that are not mounted."""

    def open(self, number: DeviceNumber, flags: int) -> OpenDevice:
        """An open file without a mount."""
        return UnmountedFuse()


def register(table: DeviceTable, host: Host) -> None:
    """Register character device 10:229."""
    table.register(Registration(DeviceKind.CHARACTER, NUMBER, FuseDriver(), "misc", "fuse"))
