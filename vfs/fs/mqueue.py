"""mqueue: the directory of POSIX message queues, as far as a mount shows it (mq_overview(7)).

An empty directory: queues come and go by mq_open(3), which needs a running kernel. It takes no options.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from vfs.filesystem import FilesystemType
from vfs.fs.static import StaticFilesystem, refused
from vfs.options import MountOptions, mount_data

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.virtual_filesystem import VirtualFilesystem

_MAGIC: Final = 0x1980_0202


class MqueueType(FilesystemType):
    """Registers as "mqueue"."""

    name = "mqueue"

    def get_filesystem(
        self, vfs: VirtualFilesystem, creds: Credentials, source: str, options: MountOptions
    ) -> StaticFilesystem:
        """Errors: EINVAL for any option."""
        for key, value in mount_data(options.data):
            raise refused(key, value)
        return StaticFilesystem(vfs, self.name, magic=_MAGIC, mode=stat.S_ISVTX | 0o777, whole=True)
