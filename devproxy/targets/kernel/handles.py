"""What the kernel target hands out, and the host's null device: descriptors with what is known of them."""

from __future__ import annotations

import errno
import os
import stat

from devproxy.mount_options import Attribute
from devproxy.node import DeviceNumber
from devproxy.record import Record
from devproxy.targets.kernel.tree import Closer, Tree
from devproxy.targets.rootless import attributes_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from devproxy.linux.paths import Opener

_NULL: Final = DeviceNumber(1, 3)


class KernelSource:
    """An open directory or file of the host (O_PATH). `used` once it has become a mount."""

    __slots__ = ("_closer", "_tree", "descriptor", "is_directory", "path", "used")

    def __init__(self, descriptor: int, path: str, closer: Closer, *, is_directory: bool) -> None:
        self.descriptor = descriptor
        self.path = path
        self.is_directory = is_directory
        self.used = False
        self._closer = closer
        self._tree: Tree | None = None

    @property
    def attributes(self) -> Attribute:
        """See `Source.attributes`."""
        return attributes_of(self.descriptor)

    def tree(self, opener: Opener) -> Tree:
        """What is below it."""
        if self._tree is None:
            self._tree = Tree(self.descriptor, opener, self._closer)
        return self._tree

    def close(self) -> None:
        """Let it go. Nothing may be asked afterwards."""
        if self._tree is not None:
            self._tree.forget()
        self._closer.add(self.descriptor)


class KernelMount:
    """A mount by its descriptor, attached nowhere yet. `layer` is the upper layer of an overlay that is kept, or -1; `keep` asks for
    a copy of the mount as `layer` when it is attached.
    """

    __slots__ = ("descriptor", "is_directory", "keep", "layer")

    def __init__(self, descriptor: int, *, is_directory: bool, layer: int = -1) -> None:
        self.descriptor = descriptor
        self.is_directory = is_directory
        self.layer = layer
        self.keep = False


class HeldVolume(Record):
    """A pod's volume by the descriptor of a mount of it, who made it (nobody, if it is new), and whether that mount has been
    used: then it is at its place, and further ones are copies.
    """

    descriptor: int
    maker: str
    is_attached: bool = False


NO_VOLUMES: Final[Mapping[str, HeldVolume]] = {}


def open_null(flags: int) -> int:
    """Open the host's null device. Errors: ENODEV if /dev/null is something else."""
    descriptor = os.open("/dev/null", flags | os.O_NOFOLLOW)
    found = os.fstat(descriptor)
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != _NULL.rdev:
        os.close(descriptor)
        raise OSError(errno.ENODEV, f"not the null device, character {_NULL}", "/dev/null")
    return descriptor
