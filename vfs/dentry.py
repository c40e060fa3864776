"""A name in a directory, cached: the node of the tree that paths walk.

Analogous to Linux's struct dentry. Differences:

* there are no negative dentries and no reference counts: a dentry lives as long as its parent's `children` or somebody else
  holds it;
* one flag integer, `odd`, gathers everything that the fast walk of `vfs.resolve` cannot do: if it is 0, stepping here needs
  no further question.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from vfs.inode import Inode

ODD_MOUNTED: Final = 1
"""Something is mounted here, in some namespace."""
ODD_SYMLINK: Final = 2
"""A symbolic link."""
ODD_REVALIDATE: Final = 4
"""A directory of a file system that wants to be asked at every step."""
ODD_SEARCH: Final = 8
"""A directory that not everybody may search."""
DEAD: Final = 16
"""The name is gone: unlinked, or renamed over."""
ODD_CALLER: Final = 32
"""A file of a file system that wants to know who asks (`Filesystem.note_caller`)."""

_S_IFMT: Final = 0o170000
_S_IFDIR: Final = stat.S_IFDIR
_S_IFREG: Final = stat.S_IFREG
NO_CHILDREN: Final[dict[str, Dentry]] = {}
"""Of all dentries that are no directory's: nothing is put into it."""


class Dentry:
    """`name` in `parent` is `inode`. The root of a file system is its own parent and has the name "".

    Invariants: `parent.children[name] is self` while the name exists and is cached; children belong to the same file system.
    `name`, `parent` and `children` change under `Filesystem.lock` only, by `vfs.dcache`.
    """

    __slots__ = ("children", "inode", "name", "odd", "parent")

    def __init__(self, name: str, parent: Dentry | None, inode: Inode) -> None:
        self.name = name
        self.parent: Dentry = self if parent is None else parent
        self.inode = inode
        kind = inode.mode & _S_IFMT
        self.children: dict[str, Dentry] = {} if kind == _S_IFDIR else NO_CHILDREN
        self.odd = inode.fs.dentry_flags
        if kind != _S_IFREG:
            self.update_flags()

    def update_flags(self) -> None:
        """Derive from the inode what `odd` says about it; called when the mode has changed."""
        mode = self.inode.mode
        odd = self.odd & (ODD_MOUNTED | ODD_CALLER | DEAD)
        if stat.S_ISLNK(mode):
            odd |= ODD_SYMLINK
        elif stat.S_ISDIR(mode):
            if self.inode.fs.revalidates:
                odd |= ODD_REVALIDATE
            if mode & 0o111 != 0o111:
                odd |= ODD_SEARCH
        self.odd = odd

    def __repr__(self) -> str:
        return f"<Dentry {self.path()!r} mode {self.inode.mode:o} odd {self.odd}>"

    @property
    def dead(self) -> bool:
        """Whether the name is gone: nothing can be made below it any more."""
        return bool(self.odd & DEAD)

    def path(self) -> str:
        """The path from the root of the file system, "/" for the root itself."""
        names = []
        dentry = self
        while dentry.parent is not dentry:
            names.append(dentry.name)
            dentry = dentry.parent
        return "/" + "/".join(reversed(names))

    def is_ancestor_of(self, other: Dentry) -> bool:
        """Whether `other` lies below this dentry; a dentry is not its own ancestor."""
        while other.parent is not other:
            other = other.parent
            if other is self:
                return True
        return False
