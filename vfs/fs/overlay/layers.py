"""What the layers say with whiteouts, opaque directories, redirects and attributes of their own."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from vfs import dcache
from vfs.credentials import ROOT
from vfs.errors import error
from vfs.mount import VirtualDentry
from vfs.options import MknodOptions

if TYPE_CHECKING:
    from vfs.dentry import Dentry
    from vfs.inode import Inode
    from vfs.mount import Mount

_WHITEOUT: Final = MknodOptions(stat.S_IFCHR, 0)


class Part(NamedTuple):
    """A file of a layer: a place, and the number of the layer. The upper one is 0, the lower ones count from 1, down."""

    mount: Mount
    dentry: Dentry
    layer: int

    @property
    def place(self) -> VirtualDentry:
        """Where it is, for who opens it."""
        return VirtualDentry(self.mount, self.dentry)

    def child(self, dentry: Dentry) -> Part:
        """Another file of the same layer."""
        return Part(self.mount, dentry, self.layer)


def find(directory: Part, name: str) -> Part | None:
    """What a layer has under a name, a whiteout too."""
    child = dcache.find(directory.dentry, name)
    return None if child is None else Part(directory.mount, child, directory.layer)


class Marks:
    """How an overlay marks its layers: by attributes under `prefix`, trusted.overlay. or user.overlay. (userxattr)."""

    __slots__ = ("_escaped", "_opaque", "_redirect", "_whiteout", "prefix")

    def __init__(self, *, user: bool = False) -> None:
        self.prefix = "user.overlay." if user else "trusted.overlay."
        self._escaped = self.prefix + "overlay."
        self._opaque = self.prefix + "opaque"
        self._redirect = self.prefix + "redirect"
        self._whiteout = self.prefix + "whiteout"

    # whiteouts

    def is_whiteout(self, inode: Inode) -> bool:
        """Whether a file of a layer says that there is nothing here: a character device 0:0, or an empty regular file with
        an attribute, for layers that are kept in an overlay themselves (since Linux 6.7).
        """
        mode = inode.mode
        if stat.S_ISREG(mode):
            return not inode.size and self._get(inode, self._whiteout) is not None
        return stat.S_ISCHR(mode) and inode.rdev == 0

    @staticmethod
    def put_whiteout(directory: Part, name: str) -> None:
        """Say that there is nothing here. Precondition: the name is free in the layer. Errors: ENOSPC."""
        dcache.mknod(ROOT, directory.dentry, name, _WHITEOUT)

    # opaque directories

    def opaque(self, directory: Inode) -> bytes | None:
        """b"y" for a directory that hides those of its name in the layers below, b"x" for one with regular whiteouts."""
        return self._get(directory, self._opaque)

    def is_opaque(self, directory: Inode) -> bool:
        """Whether a directory of a layer hides those of its name in the layers below."""
        return self.opaque(directory) == b"y"

    def set_opaque(self, directory: Inode) -> None:
        """Make a directory hide those of its name below. Errors: ENOSPC; ENOTSUP."""
        directory.set_xattr(self._opaque, b"y", 0)

    # redirects

    def redirect(self, directory: Inode) -> str | None:
        """Under which name the layers below have a directory: another name beside it, or a path from their roots.

        Errors: EINVAL for a text that is neither (ovl_get_redirect_xattr of Linux).
        """
        value = self._get(directory, self._redirect)
        if value is None:
            return None
        text = os.fsdecode(value.partition(b"\0")[0])
        names = text.split("/")
        if (len(names) > 1 and names.pop(0)) or "" in names:
            raise error(errno.EINVAL, text)
        return text

    def set_redirect(self, directory: Inode, text: str) -> None:
        """Say under which name the layers below have a directory. Errors: ENOSPC; ENOTSUP."""
        directory.set_xattr(self._redirect, os.fsencode(text), 0)

    @staticmethod
    def _get(inode: Inode, name: str) -> bytes | None:
        try:
            return inode.get_xattr(name)
        except OSError:
            # No such attribute, a type without attributes, or one that we may not read on the machine.
            return None

    # attributes as they are seen

    def escape(self, name: str) -> str:
        """The name under which an attribute is stored in a layer."""
        return self._escaped + name.removeprefix(self.prefix) if name.startswith(self.prefix) else name

    def is_own(self, stored: str) -> bool:
        """Whether an attribute of a layer's file is a mark, which is not copied up."""
        return stored.startswith(self.prefix) and not stored.startswith(self._escaped)

    def shown(self, names: list[str]) -> list[str]:
        """The attributes of a layer's file that are seen, under the names that they were given."""
        return [
            self.prefix + name.removeprefix(self._escaped) if name.startswith(self._escaped) else name
            for name in names
            if not self.is_own(name)
        ]

    def lower_shows(self, lowers: tuple[Part, ...], name: str) -> bool:
        """Whether a name would show if the upper layer had nothing under it: removing it then takes a whiteout."""
        for lower in lowers:
            found = find(lower, name)
            if found is not None:
                return not self.is_whiteout(found.dentry.inode)
        return False
