"""One entry of a layer, and the names that are no names of files: whiteouts (image-spec, layer.md, "Whiteouts")."""

from __future__ import annotations

import stat

from devproxy.choice import Choice
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

WHITEOUT: Final = ".wh."
OPAQUE: Final = ".wh..wh..opq"


class Kind(Choice):
    """What an entry makes; the value is the typeflag of ustar."""

    FILE = "0"
    HARD_LINK = "1"
    SYMLINK = "2"
    CHARACTER = "3"
    BLOCK = "4"
    DIRECTORY = "5"
    FIFO = "6"


FORMATS: Final = {
    Kind.FILE: stat.S_IFREG,
    Kind.SYMLINK: stat.S_IFLNK,
    Kind.CHARACTER: stat.S_IFCHR,
    Kind.BLOCK: stat.S_IFBLK,
    Kind.DIRECTORY: stat.S_IFDIR,
    Kind.FIFO: stat.S_IFIFO,
}


class Extent(Record):
    """A piece of a file's data: where it is in the file, in the archive, and how long it is, in bytes."""

    offset: int
    at: int
    length: int


class Entry(Record):
    """One entry. `path` is the one in the container without its first slash, "" for the root itself; `link` is a symbolic
    link's target, or the path of the file that a hard link is to. `size` is that of the file, holes included; `extents` are
    what is not a hole. `xattrs` are in the order of their names.
    """

    path: str
    kind: Kind
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    size: int = 0
    link: str = ""
    major: int = 0
    minor: int = 0
    xattrs: tuple[tuple[str, bytes], ...] = ()
    extents: tuple[Extent, ...] = ()

    @property
    def parent(self) -> str:
        """The directory that it is in."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The last component."""
        return self.path.rpartition("/")[2]

    @property
    def is_opaque(self) -> bool:
        """Whether it says that nothing of the layers below shows in its directory."""
        return self.name == OPAQUE

    @property
    def hides(self) -> str | None:
        """The path that it says is not there any more, if it is a whiteout of one name."""
        if self.is_opaque or not self.name.startswith(WHITEOUT):
            return None
        return join(self.parent, self.name.removeprefix(WHITEOUT))


def join(directory: str, name: str) -> str:
    """The path of a name in a directory; either may be ""."""
    return f"{directory}/{name}" if directory and name else directory or name


def below(path: str, base: str) -> str:
    """`path` as it is seen from `base`, which it is at or below."""
    return path[len(base) :].lstrip("/") if base else path


def is_at_or_below(path: str, base: str) -> bool:
    """Whether `base` is the path itself, or a directory on the way to it."""
    return not base or path == base or path.startswith(base + "/")


def saveable(name: str) -> bool:
    """Whether an extended attribute belongs to the file, wherever it is: a user's own, and file capabilities. What an overlay
    notes for itself (Documentation/filesystems/overlayfs.rst), and what else the kernel and its security modules keep, does not. A `=`
    in a name is more than a pax record can hold.
    """
    if "=" in name:
        return False
    if name.startswith("user."):
        return not name.startswith("user.overlay.")
    return name == "security.capability"
