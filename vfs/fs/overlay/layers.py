"""What the layers say with whiteouts, opaque directories and attributes of their own."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from vfs import dcache
from vfs.credentials import ROOT
from vfs.options import MknodOptions

if TYPE_CHECKING:
    from vfs.dentry import Dentry
    from vfs.inode import Inode
    from vfs.mount import VirtualDentry

PREFIX: Final = "trusted.overlay."
"""Attributes that are the overlay's own business in its layers."""
_ESCAPED: Final = PREFIX + "overlay."
_OPAQUE: Final = PREFIX + "opaque"
_WHITEOUT: Final = MknodOptions(stat.S_IFCHR, 0)


def is_whiteout(inode: Inode) -> bool:
    """Whether a file of a layer says that there is nothing here."""
    return stat.S_ISCHR(inode.mode) and inode.rdev == 0


def put_whiteout(directory: VirtualDentry, name: str) -> None:
    """Say that there is nothing here. Precondition: the name is free in the layer. Errors: ENOSPC."""
    dcache.mknod(ROOT, directory.dentry, name, _WHITEOUT)


def is_opaque(directory: Dentry) -> bool:
    """Whether a directory of a layer hides those of its name in the layers below."""
    try:
        return directory.inode.get_xattr(_OPAQUE) == b"y"
    except OSError:
        # No such attribute, a type without attributes, or one that we may not read on the machine.
        return False


def set_opaque(directory: Dentry) -> None:
    """Make a directory hide those of its name below. Errors: ENOSPC; ENOTSUP."""
    directory.inode.set_xattr(_OPAQUE, b"y", 0)


def find(directory: VirtualDentry, name: str) -> VirtualDentry | None:
    """What a layer has under a name, a whiteout too."""
    child = dcache.find(directory.dentry, name)
    return None if child is None else directory._replace(dentry=child)


def stack(
    upper: VirtualDentry | None, lowers: tuple[VirtualDentry, ...], name: str
) -> tuple[VirtualDentry | None, tuple[VirtualDentry, ...]]:
    """What is seen under a name of a directory that has these layers: the part in the upper layer, and those in lower ones.

    A whiteout ends the search, as do a file that is no directory and an opaque directory; a directory is seen together with
    the directories below it.
    """
    top = None if upper is None else find(upper, name)
    if top is not None:
        if is_whiteout(top.dentry.inode):
            return None, ()
        if not stat.S_ISDIR(top.dentry.inode.mode) or is_opaque(top.dentry):
            return top, ()
    below: list[VirtualDentry] = []
    for lower in lowers:
        found = find(lower, name)
        if found is None:
            continue
        inode = found.dentry.inode
        if is_whiteout(inode):
            break
        if not stat.S_ISDIR(inode.mode):
            if top is None and not below:
                below.append(found)
            break
        below.append(found)
        if is_opaque(found.dentry):
            break
    return top, tuple(below)


def lower_shows(lowers: tuple[VirtualDentry, ...], name: str) -> bool:
    """Whether a name would show if the upper layer had nothing under it: removing it then takes a whiteout."""
    for lower in lowers:
        found = find(lower, name)
        if found is not None:
            return not is_whiteout(found.dentry.inode)
    return False


def escape(name: str) -> str:
    """The name under which an attribute is stored in a layer."""
    return _ESCAPED + name.removeprefix(PREFIX) if name.startswith(PREFIX) else name


def shown(names: list[str]) -> list[str]:
    """The attributes of a layer's file that are seen, under the names that they were given."""
    return [
        PREFIX + name.removeprefix(_ESCAPED) if name.startswith(_ESCAPED) else name
        for name in names
        if name.startswith(_ESCAPED) or not name.startswith(PREFIX)
    ]
