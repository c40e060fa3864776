"""Attributes of mounts in the VFS's words."""

from __future__ import annotations

import os

from devproxy.mount_options import ATIME, Attribute, Change
from vfs.options import MountFlags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_FLAGS: Final = (
    (Attribute.RDONLY, MountFlags.RDONLY),
    (Attribute.NOSUID, MountFlags.NOSUID),
    (Attribute.NODEV, MountFlags.NODEV),
    (Attribute.NOEXEC, MountFlags.NOEXEC),
    (Attribute.NODIRATIME, MountFlags.NODIRATIME),
    (Attribute.NOSYMFOLLOW, MountFlags.NOSYMFOLLOW),
)
_ATIME_FLAGS: Final = MountFlags.RELATIME | MountFlags.NOATIME | MountFlags.STRICTATIME

# statvfs(3) calls them ST_*; os has names for some.
_ST_NOSYMFOLLOW: Final = 0x2000
_SEEN: Final = (
    (os.ST_RDONLY, MountFlags.RDONLY),
    (os.ST_NOSUID, MountFlags.NOSUID),
    (os.ST_NODEV, MountFlags.NODEV),
    (os.ST_NOEXEC, MountFlags.NOEXEC),
    (os.ST_NOATIME, MountFlags.NOATIME),
    (os.ST_NODIRATIME, MountFlags.NODIRATIME),
    (os.ST_RELATIME, MountFlags.RELATIME),
    (_ST_NOSYMFOLLOW, MountFlags.NOSYMFOLLOW),
)

DEFAULT: Final = MountFlags.RELATIME
"""What a mount has on Linux when nobody says otherwise (mount(8))."""


def changed(flags: MountFlags, change: Change) -> MountFlags:
    """The flags after a change: what is set wins over what is cleared; the three ways of access times are one field
    (mount_setattr(2)).
    """
    for attribute, flag in _FLAGS:
        if attribute in change.clear:
            flags &= ~flag
        if attribute in change.set:
            flags |= flag
    if not (change.atime or change.set & ATIME):
        return flags
    flags &= ~_ATIME_FLAGS
    if Attribute.NOATIME in change.set:
        return flags | MountFlags.NOATIME
    return flags | (MountFlags.STRICTATIME if Attribute.STRICTATIME in change.set else MountFlags.RELATIME)


def of_descriptor(descriptor: int) -> MountFlags:
    """The flags of the machine's mount that a descriptor is on: a bind mount begins with them."""
    seen = os.fstatvfs(descriptor).f_flag
    flags = MountFlags(0)
    for bit, flag in _SEEN:
        if seen & bit:
            flags |= flag
    return flags if flags & _ATIME_FLAGS else flags | MountFlags.STRICTATIME
