"""When a look at a file moves its access time (touch_atime and relatime_need_update of fs/inode.c; mount(8))."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from vfs.options import MountFlags

if TYPE_CHECKING:
    from vfs.inode import Inode

STRICTATIME: Final = int(MountFlags.STRICTATIME)
NO_ATIME: Final = int(MountFlags.NOATIME | MountFlags.RDONLY)
"""The flags of a mount under which access times stay."""
NO_ATIME_OF_DIRECTORY: Final = NO_ATIME | int(MountFlags.NODIRATIME)
"""The same for a directory."""

_DAY_NS: Final = 24 * 3600 * 1_000_000_000


def touch(inode: Inode, mount_bits: int, kept_by: int = NO_ATIME) -> None:
    """Note that a file was read through a mount with these flags, unless one of `kept_by` is among them.

    Relatime, which is the rule, moves the time once after a change, else once a day; strictatime moves it always.
    """
    if mount_bits & kept_by:
        return
    now, old = time.time_ns(), inode.atime_ns
    if old <= inode.mtime_ns or old <= inode.ctime_ns or now - old >= _DAY_NS or mount_bits & STRICTATIME:
        inode.set_atime(now)
