"""The memory devices of major 1: null, zero, full, random, urandom (null(4), full(4), random(4); drivers/char/mem.c).

The same bytes and errors as on Linux; they need no host.
"""

from __future__ import annotations

import errno
import os

from devproxy.host.facts import Host
from vfs.device import DeviceKind, DeviceNumber, DeviceTable, OpenDevice, Registration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MAJOR: Final = 1


class Null(OpenDevice):
    """Nothing to read; takes every write. Seeking stays at 0 (null_lseek)."""

    def read(self, size: int, offset: int) -> bytes:
        """Nothing: always at the end."""
        return b""

    def write(self, data: bytes, offset: int) -> int:
        """Everything is taken."""
        return len(data)

    def seek(self, offset: int, whence: int, position: int) -> int:
        """Always 0."""
        return 0


class Zero(Null):
    """Zeros without end."""

    def read(self, size: int, offset: int) -> bytes:
        """Zeros."""
        return bytes(size)


class Full(Zero):
    """Zeros to read; never room for a write."""

    def write(self, data: bytes, offset: int) -> int:
        """Errors: ENOSPC, also for nothing to write."""
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Random(OpenDevice):
    """Random bytes; what is written is stirred in, which nobody can tell from its being dropped."""

    def read(self, size: int, offset: int) -> bytes:
        """Random bytes."""
        return os.urandom(size)

    def write(self, data: bytes, offset: int) -> int:
        """Everything is taken."""
        return len(data)

    def seek(self, offset: int, whence: int, position: int) -> int:
        """The position does not move (noop_llseek)."""
        return position


_DEVICES: Final[dict[int, tuple[str, type[OpenDevice]]]] = {
    3: ("null", Null),
    5: ("zero", Zero),
    7: ("full", Full),
    8: ("random", Random),
    9: ("urandom", Random),
}


class MemoryDriver:
    """Opens the device of a minor."""

    def open(self, number: DeviceNumber, flags: int) -> OpenDevice:
        """Errors: ENXIO for a minor that is none of these."""
        if number.minor not in _DEVICES:
            raise OSError(errno.ENXIO, f"no memory device has minor {number.minor}")
        return _DEVICES[number.minor][1]()


def register(table: DeviceTable, host: Host) -> None:
    """Register the five, readable and writable by all (S6, S10)."""
    driver = MemoryDriver()
    for minor, (name, _) in _DEVICES.items():
        table.register(Registration(DeviceKind.CHARACTER, DeviceNumber(MAJOR, minor), driver, "mem", name))
