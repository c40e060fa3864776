"""sysfs: the device tree's file system, as far as a mount shows it (sysfs(5); S81).

The directories that every kernel has, and a tree of files and links that whoever registers the type gives it: devices are a
machine's, and nothing here knows a machine. It takes no options.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from vfs.errors import error
from vfs.filesystem import FilesystemType
from vfs.fs.static import OpenDirectory, StaticFilesystem, Synthetic, refused
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

SysfsTree = Sequence[tuple[str, Synthetic]]
"""What is in a sysfs: each file, link or directory by its path from the root (`class/dmi/id`). Parents are made (0755)."""


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
        for path in DIRECTORIES:
            _directory(filesystem.directory, path)
        for path, what in self._tree:
            _put(filesystem.directory, path, what)
        return filesystem


def _put(root: OpenDirectory, path: str, what: Synthetic) -> None:
    if stat.S_ISDIR(what.mode):
        _directory(root, path)
        return
    parent, _, name = path.rpartition("/")
    directory = _directory(root, parent)
    if name in directory.entries:
        raise error(errno.EEXIST, path)
    directory.make_synthetic(name, what)


def _directory(root: OpenDirectory, path: str) -> OpenDirectory:
    """The directory at a path, made with its parents where it is missing."""
    current = root
    for name in path.split("/") if path else ():
        if name not in current.entries:
            current.make_synthetic(name, _DIRECTORY)
        below = current.entries[name]
        if not isinstance(below, OpenDirectory):
            raise error(errno.ENOTDIR, path)
        current = below
    return current
