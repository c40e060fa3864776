"""What statx(2) tells beyond stat(2): when a file was made, by which mount it was reached, and which of it all is so."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple

from vfs.abi import (
    STATX_ATTR_MOUNT_ROOT,
    STATX_BASIC_STATS,
    STATX_BTIME,
    STATX_MNT_ID,
    STATX_MNT_ID_UNIQUE,
    STATX_RESERVED,
)
from vfs.errors import error

if TYPE_CHECKING:
    import os

    from vfs.mount import VirtualDentry


class Statx(NamedTuple):
    """The fields of struct statx that stat(2) has not, and `stat`, which holds those that it has.

    `mask` says which are filled in. `attributes` are the STATX_ATTR_* that hold, `attributes_mask` those that are known:
    STATX_ATTR_MOUNT_ROOT alone, as there are no flags of files (FS_IOC_SETFLAGS). `mount_id` is never used again. The alignment
    for direct I/O is 0, which says that there is none.
    """

    mask: int
    stat: os.stat_result
    attributes: int
    attributes_mask: int
    btime_ns: int
    mount_id: int
    dio_mem_align: int = 0
    dio_offset_align: int = 0


def check_mask(mask: int) -> None:
    """Errors: EINVAL for a mask with the reserved bit."""
    if mask & STATX_RESERVED:
        raise error(errno.EINVAL)


def of_place(place: VirtualDentry, stat: os.stat_result, mask: int) -> Statx:
    """The record of a file at a place. Precondition: the mask was checked."""
    mount, dentry = place
    told = STATX_BASIC_STATS | (STATX_MNT_ID_UNIQUE if mask & STATX_MNT_ID_UNIQUE else STATX_MNT_ID)
    made = dentry.inode.birth_ns() if mask & STATX_BTIME else None
    if made is not None:
        told |= STATX_BTIME
    attributes = STATX_ATTR_MOUNT_ROOT if dentry is mount.root else 0
    return Statx(told, stat, attributes, STATX_ATTR_MOUNT_ROOT, made or 0, mount.id)
