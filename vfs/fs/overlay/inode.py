"""A file seen through an overlay."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from vfs import dcache
from vfs.abi import MAY_WRITE
from vfs.credentials import ROOT
from vfs.errors import error
from vfs.fs.overlay.copy_up import copy_up
from vfs.inode import Inode

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.file import File
    from vfs.fs.overlay.directory import OverlayDirectory
    from vfs.fs.overlay.filesystem import OverlayFilesystem
    from vfs.fs.overlay.layers import Part
    from vfs.mount import VirtualDentry
    from vfs.options import SetStat


_WRITTEN_TO: Final = frozenset({stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK})
"""What is written to where it lies; nodes, fifos and sockets are not."""


class OverlayInode(Inode):
    """A file: its part in the upper layer, and those in lower ones, of which only directories have more than one.

    `parent` and `name` say where it is copied up to. Invariants: there is an upper part or a lower one; what has an upper part
    and is no directory has no lower ones.
    """

    __slots__ = ("__weakref__", "lowers", "name", "parent", "upper")

    fs: OverlayFilesystem  # type: ignore[mutable-override]  # an inode never changes its file system

    def __init__(
        self,
        fs: OverlayFilesystem,
        upper: Part | None,
        lowers: tuple[Part, ...],
        parent: OverlayDirectory | None,
        name: str,
    ) -> None:
        real = (upper or lowers[0]).dentry.inode
        super().__init__(fs, fs.ino_of(real.fs.minor, real.ino), real.mode, real.uid, real.gid)
        self.upper = upper
        self.lowers = lowers
        self.parent = parent
        self.name = name
        self.refresh()

    @property
    def real(self) -> Part:
        """The topmost part: whose attributes, contents and extended attributes are seen."""
        return self.upper or self.lowers[0]

    @property
    def linkable(self) -> bool:  # type: ignore[override]  # the upper layer's business
        """See `Inode.linkable`."""
        return self.real.dentry.inode.linkable

    def refresh(self) -> os.stat_result:
        """Take over the attributes of the topmost part."""
        found = self.real.dentry.inode.stat()
        self.mode = found.st_mode
        self.uid = found.st_uid
        self.gid = found.st_gid
        self.nlink = found.st_nlink
        self.rdev = found.st_rdev
        self.size = found.st_size
        self.atime_ns = found.st_atime_ns
        self.mtime_ns = found.st_mtime_ns
        self.ctime_ns = found.st_ctime_ns
        return found

    def stat(self) -> os.stat_result:
        """The attributes of the topmost part, with the overlay's numbers."""
        return self.stat_result(self.refresh().st_blocks)

    def birth_ns(self) -> int | None:
        """When the topmost part was made."""
        return self.real.dentry.inode.birth_ns()

    def check_access(self, creds: Credentials, mask: int) -> None:
        """Errors: also EROFS without an upper layer, before all else (sb_permission of Linux)."""
        if mask & MAY_WRITE and self.fs.read_only and stat.S_IFMT(self.mode) in _WRITTEN_TO:
            raise error(errno.EROFS)
        super().check_access(creds, mask)

    def set_atime(self, now: int) -> None:
        """Access times are kept in the upper layer only (ovl_update_time of Linux)."""
        if self.upper is not None:
            self.upper.dentry.inode.set_atime(now)
            self.atime_ns = now

    def set_stat(self, changes: SetStat) -> None:
        """Copied up, then changed.

        Errors: EROFS without an upper layer; ENOSPC.
        """
        if changes.size is not None and changes.size != self.size:
            # No more than stays is copied up, so that the upper part may have the size already.
            changes = replace(changes, mtime_now=True)
        upper = copy_up(self, size=changes.size)
        dcache.set_stat(upper.dentry, changes)
        self.refresh()

    def readlink(self) -> str:
        """Errors: EINVAL for what is no link."""
        return self.real.dentry.inode.readlink()

    def open(self, location: VirtualDentry, flags: int, creds: Credentials) -> File:
        """Regular files are copied up when they are opened for writing.

        Errors: EROFS without an upper layer; ENOSPC; the layer's own.
        """
        if not stat.S_ISREG(self.mode):
            return super().open(location, flags, creds)
        from vfs.fs.overlay.file import OverlayFile

        if flags & os.O_ACCMODE in {os.O_WRONLY, os.O_RDWR}:
            copy_up(self)
        return OverlayFile(location, flags, creds, self)

    # extended attributes

    def get_xattr(self, name: str) -> bytes:
        """Errors: ENODATA; the layer's own."""
        return self.real.dentry.inode.get_xattr(self.fs.marks.escape(name))

    def set_xattr(self, name: str, value: bytes, flags: int) -> None:
        """Errors: EROFS; EEXIST, ENODATA by flags; ENOSPC."""
        copy_up(self).dentry.inode.set_xattr(self.fs.marks.escape(name), value, flags)

    def list_xattr(self) -> list[str]:
        """The names, without the overlay's own."""
        return self.fs.marks.shown(self.real.dentry.inode.list_xattr())

    def remove_xattr(self, name: str) -> None:
        """Errors: EROFS; ENODATA, for which nothing is copied up."""
        stored = self.fs.marks.escape(name)
        self.real.dentry.inode.get_xattr(stored)
        copy_up(self).dentry.inode.remove_xattr(stored)


def open_layer(part: Part, flags: int) -> File:
    """Open a file of a layer. It counts at no mount: it is let go by `File.release`, not by `close`."""
    return part.dentry.inode.open(part.place, flags, ROOT)
