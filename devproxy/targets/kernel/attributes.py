"""Attributes and propagation of mounts as system calls take them."""

from __future__ import annotations

from devproxy.linux import mounts
from devproxy.mount_options import ATIME, Attribute, Change, Propagation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

PROPAGATION: Final[Mapping[Propagation, int]] = {
    Propagation.SHARED: mounts.MS_SHARED,
    Propagation.SLAVE: mounts.MS_SLAVE,
    Propagation.PRIVATE: mounts.MS_PRIVATE,
    Propagation.UNBINDABLE: mounts.MS_UNBINDABLE,
}
EVERY_ATTRIBUTE: Final = sum(Attribute) | ATIME

# A thousand mounts have a handful of combinations.
_attributes_of: Final[dict[Change, tuple[int, int]]] = {}


def attributes(change: Change) -> tuple[int, int]:
    """What mount_setattr(2) is to set and to clear. The field of access times is cleared whole."""
    found = _attributes_of.get(change)
    if found is None:
        atime = change.atime or change.set & ATIME
        found = _attributes_of[change] = int(change.set), int(change.clear) | (ATIME if atime else 0)
    return found


def set_attributes(mount: int, change: Change, *, recursive: bool) -> None:
    """Set and clear attributes of the mount of a descriptor."""
    wanted, clear = attributes(change)
    mounts.mount_setattr(mount, attributes=wanted, clear=clear, recursive=recursive)
