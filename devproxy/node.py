"""What a device node is: its kind, its number, and who decides the number.

These words are shared by every room: the bundle asks for nodes, the host has them, the plan names them, targets make
them.
"""

from __future__ import annotations

import os
import stat

from devproxy.choice import Choice
from devproxy.record import Record


class NodeKind(Choice):
    """What mknod(2) can make here; the value is the letter that `ls -l` and the OCI spec use."""

    CHARACTER = "c"
    BLOCK = "b"
    FIFO = "p"


FORMATS = {NodeKind.CHARACTER: stat.S_IFCHR, NodeKind.BLOCK: stat.S_IFBLK, NodeKind.FIFO: stat.S_IFIFO}
"""Kinds as in st_mode (inode(7))."""


class DeviceNumber(Record):
    """A major and a minor, as in `ls -l /dev`. Linux keeps 12 and 20 bits for them (makedev(3))."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}:{self.minor}"

    @property
    def rdev(self) -> int:
        """The number as stat(2) reports it in st_rdev."""
        return os.makedev(*self)


def number_of_rdev(rdev: int) -> DeviceNumber:
    """The major and minor in a stat's st_rdev."""
    return DeviceNumber(os.major(rdev), os.minor(rdev))


class OfDriver(Record):
    """The device `minor` of a character driver known by its name in /proc/devices; the target says which major that
    is.
    """

    driver: str
    minor: int

    def __str__(self) -> str:
        return f"{self.driver}:{self.minor}"


class Fixed(Record):
    """The number itself, when no driver is known for it."""

    number: DeviceNumber

    def __str__(self) -> str:
        return str(self.number)


class LikeHost(Record):
    """The number that the host's node at `path` has: for drivers whose devices cannot be told by a name in /proc/devices
    (accel, vfio, drm, kfd, infiniband). `asked` is the spec's number, or None when it was the host that offered the node.
    """

    path: str
    asked: DeviceNumber | None = None

    def __str__(self) -> str:
        return f"like_host({self.path})"


Identity = OfDriver | LikeHost | Fixed
