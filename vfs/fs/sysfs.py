"""sysfs: the device tree's file system, as far as a mount shows it (sysfs(5); S81).

The directories that every kernel has, and a tree of files and links that whoever registers the type gives it: devices are a
machine's, and nothing here knows a machine. It takes no options.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from vfs.filesystem import FilesystemType
from vfs.fs.static import OpenDirectory, StaticFilesystem, Synthetic, Tree, plant, refused
from vfs.options import MountOptions, mount_data

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.virtual_filesystem import VirtualFilesystem

_MAGIC: Final = 0x6265_6572
_DIRECTORY: Final = Synthetic(stat.S_IFDIR | 0o755)
DIRECTORIES: Final = (
    "block", "bus", "class/net", "class/power_supply", "dev", "devices/system/cpu", "firmware", "fs/cgroup", "kernel",
    "module", "power",
)  # fmt: skip
"""What every sysfs has: a tree may add to these, and not put anything else in their place."""

SysfsTree = Tree
"""What is in a sysfs (`class/dmi/id`)."""


class SysfsType(FilesystemType):
    """Registers as "sysfs"; every mount shows `tree`."""

    name = "sysfs"

    def __init__(self, tree: SysfsTree = ()) -> None:
        self._tree = tree

    def get_filesystem(
        self, vfs: VirtualFilesystem, creds: Credentials, source: str, options: MountOptions
    ) -> StaticFilesystem:
        """Errors: EINVAL for any option, EEXIST or ENOTDIR for a tree that has two things at one path."""
        for key, value in mount_data(options.data):
            raise refused(key, value)
        filesystem = StaticFilesystem(vfs, self.name, magic=_MAGIC, mode=0o555)
        assert isinstance(filesystem.directory, OpenDirectory)
        plant(filesystem.directory, [(path, _DIRECTORY) for path in DIRECTORIES])
        plant(filesystem.directory, self._tree)
        return filesystem
