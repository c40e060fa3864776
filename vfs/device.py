"""The device table: which driver answers for a device number.

A device is known by its kind, major and minor, never by a path: a path in /dev is only a name for the number, and the
number only a name for the driver behind it. Opening a node looks its number up here (S9).

Analogous to the chrdevs table of Linux (fs/char_dev.c), with one table for both kinds. Some drivers have a fixed major
(195 for NVIDIA); others are handed one when they register, so that it differs from machine to machine and from boot to
boot (nvidia-uvm). `reserve_major` hands them out in the kernel's order.

Concurrency: every method takes the table's lock; drivers are called outside it.
"""

from __future__ import annotations

import enum
import errno
import os
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from vfs.errors import error


class DeviceKind(enum.Enum):
    """The two kinds of device node (inode(7))."""

    CHARACTER = "character"
    BLOCK = "block"


@dataclass(frozen=True, slots=True, order=True)
class DeviceNumber:
    """A major and a minor, as in `ls -l /dev`. Linux keeps 12 and 20 bits for them (makedev(3))."""

    major: int
    minor: int

    def __post_init__(self) -> None:
        if not 0 <= self.major < 1 << 12:
            raise ValueError(f"major {self.major} is not in 0..4095")
        if not 0 <= self.minor < 1 << 20:
            raise ValueError(f"minor {self.minor} is not in 0..1048575")

    @classmethod
    def of_rdev(cls, rdev: int) -> DeviceNumber:
        """The number that st_rdev holds."""
        return cls(os.major(rdev), os.minor(rdev))

    def __str__(self) -> str:
        return f"{self.major}:{self.minor}"

    @property
    def rdev(self) -> int:
        """The number as stat(2) reports it in st_rdev."""
        return os.makedev(self.major, self.minor)


class OpenDevice:
    """What a driver returns for one open of its device. A driver overrides what its device can do.

    Offsets are those of the open file: most character devices ignore them.
    """

    def read(self, size: int, offset: int) -> bytes:
        """Errors: EINVAL here, as Linux says for a device without a read method."""
        raise error(errno.EINVAL)

    def write(self, data: bytes, offset: int) -> int:
        """Errors: EINVAL here."""
        raise error(errno.EINVAL)

    def ioctl(self, request: int, argument: object) -> object:
        """Errors: ENOTTY here: the device knows no request (ioctl(2))."""
        raise error(errno.ENOTTY)

    def seek(self, offset: int, whence: int, position: int) -> int:
        """The new position of the open file.

        Errors: ESPIPE here: most devices are streams.
        """
        raise error(errno.ESPIPE)

    def close(self) -> None:
        """Called once, when the open file is closed."""


class Driver(Protocol):
    """What stands behind a device number."""

    def open(self, number: DeviceNumber, flags: int) -> OpenDevice:
        """Open the device.

        Errors: whatever the device says, as OSError; ENODEV when the driver is there and the device is not.
        """


@dataclass(frozen=True, slots=True)
class Registration:
    """One entry of the table. `group` is the name that /proc/devices shows; `path` and `mode` are where devtmpfs puts the
    node, relative to /dev, or None for a device that gets no node of its own.
    """

    kind: DeviceKind
    number: DeviceNumber
    driver: Driver
    group: str
    path: str | None = None
    mode: int = 0o666


# Documentation/admin-guide/devices.txt: 234-254 and 384-511 are for dynamic assignment, each searched from the top.
DYNAMIC_MAJORS: Final[tuple[int, ...]] = (*range(254, 233, -1), *range(511, 383, -1))


class DeviceTable:
    """The devices that a VFS knows.

    Invariant: a (kind, number) has at most one registration. A major that is reserved, excluded or registered is never
    handed out.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._registrations: dict[tuple[DeviceKind, DeviceNumber], Registration] = {}
        self._reserved: dict[int, str] = {}
        self._excluded: set[int] = set()
        self._shared: dict[str, int] = {}

    def register(self, registration: Registration) -> None:
        """Add a device.

        Errors: EEXIST if the number is taken; the message names who holds it.
        """
        key = registration.kind, registration.number
        with self._lock:
            holder = self._registrations.setdefault(key, registration)
        if holder is not registration:
            raise FileExistsError(
                errno.EEXIST,
                f"{registration.kind.value} device {registration.number} already belongs to {holder.group!r}",
            )

    def exclude_majors(self, majors: Collection[int]) -> None:
        """Never hand these out: they are in use elsewhere, by the drivers of the machine that the tree is made for."""
        with self._lock:
            self._excluded.update(majors)

    def reserve_major(self, group: str) -> int:
        """Reserve a dynamic character major for `group` and return it: 254 down to 234, then 511 down to 384 (S80).

        Errors: EBUSY when all 149 are taken.
        """
        with self._lock:
            return self._reserve(group)

    def shared_major(self, group: str) -> int:
        """The one dynamic major of `group`, reserved at the first call and kept for ever (H27).

        Errors: EBUSY.
        """
        with self._lock:
            major = self._shared.get(group)
            if major is None:
                major = self._shared[group] = self._reserve(group)
            return major

    def _reserve(self, group: str) -> int:
        registered = {number.major for kind, number in self._registrations if kind is DeviceKind.CHARACTER}
        for major in DYNAMIC_MAJORS:
            if major not in registered and major not in self._reserved and major not in self._excluded:
                self._reserved[major] = group
                return major
        raise OSError(errno.EBUSY, f"no dynamic major is left for {group!r}")

    def release_major(self, major: int) -> None:
        """Give a reserved major back. Precondition: it is not shared, and nothing is registered on it any more."""
        with self._lock:
            del self._reserved[major]

    def open(self, kind: DeviceKind, number: DeviceNumber, flags: int) -> OpenDevice:
        """Open the device behind a node.

        Errors: ENXIO if no driver answers for the number, as the kernel says for a node without a driver.
        """
        with self._lock:
            registration = self._registrations.get((kind, number))
        if registration is None:
            raise OSError(errno.ENXIO, f"no driver answers for {kind.value} device {number}")
        return registration.driver.open(number, flags)

    def answers(self, kind: DeviceKind, number: DeviceNumber) -> bool:
        """Whether a driver is registered for a number."""
        with self._lock:
            return (kind, number) in self._registrations

    def groups(self) -> dict[tuple[DeviceKind, int], str]:
        """The name that /proc/devices shows for each major, registered or reserved."""
        with self._lock:
            names = {(DeviceKind.CHARACTER, major): group for major, group in self._reserved.items()}
            for (kind, number), registration in self._registrations.items():
                names.setdefault((kind, number.major), registration.group)
            return names

    def __iter__(self) -> Iterator[Registration]:
        """The registrations, in the order in which they were made: the order in which devtmpfs makes the nodes."""
        with self._lock:
            return iter(list(self._registrations.values()))


class AnonymousDevices:
    """The minors of major 0 that file systems without a device get (S80): the lowest free one from the last given on.

    Analogous to get_anon_bdev of Linux.
    """

    LIMIT: Final = 1 << 20

    def __init__(self) -> None:
        self._used: set[int] = set()
        self._next = 1

    def allocate(self) -> int:
        """A free minor.

        Errors: EMFILE when all are in use.
        """
        if len(self._used) >= self.LIMIT - 1:
            raise error(errno.EMFILE)
        minor = self._next
        while minor in self._used:
            minor = minor + 1 if minor + 1 < self.LIMIT else 1
        self._used.add(minor)
        self._next = minor + 1 if minor + 1 < self.LIMIT else 1
        return minor

    def release(self, minor: int) -> None:
        """Give a minor back; it is the next one given if it lies lowest."""
        self._used.discard(minor)
        self._next = min(self._next, minor)
