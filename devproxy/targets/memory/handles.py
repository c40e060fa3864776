"""What the memory target hands out: sources by descriptor, mounts of the VFS."""

from __future__ import annotations

import os
import stat

from devproxy.linux.paths import open_within
from devproxy.linux.walk import open_in_root
from devproxy.mount_options import Attribute
from devproxy.targets.rootless import attributes_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vfs.mount import Mount


class MemorySource:
    """An open directory or file of the machine (O_PATH). `used` once it has become a mount."""

    def __init__(self, descriptor: int, path: str) -> None:
        self.descriptor = descriptor
        self.path = path
        self.is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        self.used = False

    @property
    def attributes(self) -> Attribute:
        """See `Source.attributes`."""
        return attributes_of(self.descriptor)

    def close(self) -> None:
        """Close the descriptor; closing again does nothing."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def open_on_machine(path: str, within: str) -> int:
    """See `Target.open_source`."""
    return open_within(within, path, os.O_PATH, open_in_root) if within else os.open(path, os.O_PATH | os.O_CLOEXEC)


class MemoryMount:
    """A mount of the VFS, attached nowhere yet."""

    def __init__(self, mount: Mount) -> None:
        self.mount = mount

    @property
    def is_directory(self) -> bool:
        """See `Detached.is_directory`."""
        return stat.S_ISDIR(self.mount.root.inode.mode)
