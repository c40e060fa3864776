"""sysfs: the device tree's file system, as far as a mount shows it (sysfs(5)).

The root directory; what Linux shows below belongs to a running kernel. It takes no options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vfs.filesystem import FilesystemType
from vfs.fs.static import StaticFilesystem, refused
from vfs.options import MountOptions, mount_data

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.virtual_filesystem import VirtualFilesystem

_MAGIC: Final = 0x6265_6572


class SysfsType(FilesystemType):
    """Registers as "sysfs"."""

    name = "sysfs"

    def get_filesystem(
        self, vfs: VirtualFilesystem, creds: Credentials, source: str, options: MountOptions
    ) -> StaticFilesystem:
        """Errors: EINVAL for any option."""
        for key, value in mount_data(options.data):
            raise refused(key, value)
        return StaticFilesystem(vfs, self.name, magic=_MAGIC, mode=0o555)
