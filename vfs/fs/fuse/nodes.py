"""The nodes that the server knows by number, and how often each was looked up.

A look-up that was answered is taken back (FORGET) when nothing here holds the inode any more: no name in the cache, no open
file. Analogous to the nlookup of struct fuse_inode.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfs.fs.fuse.inode import FuseInode


class Handle(weakref.ref["FuseInode"]):
    """A node as long as its inode lives, and what has to be forgotten then."""

    __slots__ = ("nlookup", "nodeid")

    nodeid: int
    nlookup: int


class Nodes:
    """The inodes by node number. Changed under the lock of the VFS, but for inodes that go away, which may be anywhere.

    Invariant: the look-ups counted in handles and in `forgets`, and those sent, are all that the server answered.
    """

    def __init__(self, forgets: deque[tuple[int, int]]) -> None:
        self._forgets = forgets
        self._by_id: dict[int, Handle] = {}
        self._all: dict[int, Handle] = {}

    def find(self, nodeid: int) -> FuseInode | None:
        """The living inode of a node."""
        handle = self._by_id.get(nodeid)
        return None if handle is None else handle()

    def add(self, inode: FuseInode) -> None:
        """Note a new inode, in place of another that had its number."""
        handle = Handle(inode, self._gone)
        handle.nodeid = inode.nodeid
        handle.nlookup = 0
        self._by_id[inode.nodeid] = handle
        self._all[id(handle)] = handle

    def count(self, inode: FuseInode) -> None:
        """One more look-up of a node was answered. Precondition: it is the one that has its number."""
        self._by_id[inode.nodeid].nlookup += 1

    def forget_all(self) -> None:
        """Take every look-up back."""
        for handle in list(self._all.values()):
            self._forget(handle)

    def _gone(self, reference: weakref.ref[FuseInode]) -> None:
        assert isinstance(reference, Handle)
        self._all.pop(id(reference), None)
        if self._by_id.get(reference.nodeid) is reference:
            del self._by_id[reference.nodeid]
        self._forget(reference)

    def _forget(self, handle: Handle) -> None:
        if handle.nlookup:
            self._forgets.append((handle.nodeid, handle.nlookup))
            handle.nlookup = 0
