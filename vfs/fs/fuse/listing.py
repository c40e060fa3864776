"""Reading a directory of the server's (fs/fuse/readdir.c)."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING, Final, NamedTuple

from vfs.errors import error
from vfs.fuse.abi import PAGE_SIZE, InitFlags, Opcode
from vfs.fuse.messages import Listed, unpack_listing, unpack_listing_plus
from vfs.fuse.records import DATA_IN, FSYNC_IN, OPEN_IN, OPEN_OUT, RELEASE_IN
from vfs.inode import DirectoryEntry

if TYPE_CHECKING:
    from vfs.fs.fuse.directory import FuseDirectory

_OWN_NAMES: Final = frozenset({".", ".."})
MOST_NAMES: Final = 1 << 22
"""A listing that goes on has no end."""


class OpenListing(NamedTuple):
    """An open directory: the server's handle, if it gave one, and the flags that it was opened with."""

    directory: FuseDirectory
    fh: int | None
    flags: int

    def read_all(self) -> list[DirectoryEntry]:
        """The names from the beginning on.

        Errors: EIO for names that cannot be, and for a listing that runs in circles or without end; the server's.
        """
        entries: list[DirectoryEntry] = []
        offset, seen = 0, {0}
        while True:
            batch = self._read(offset)
            if not batch:
                return entries
            entries += [DirectoryEntry(each.name, each.ino, each.type) for each in batch if each.name not in _OWN_NAMES]
            offset = batch[-1].offset
            if offset in seen or len(entries) > MOST_NAMES:
                raise error(errno.EIO)
            seen.add(offset)

    def _read(self, offset: int) -> list[Listed]:
        directory = self.directory
        fs = directory.fs
        size = max(PAGE_SIZE, min(fs.max_read, fs.connection.max_data))
        plus = self._wants_plus(offset)
        wanted = DATA_IN.pack(self.fh or 0, offset, size, 0, 0, self.flags)
        answer = fs.ask(Opcode.READDIRPLUS if plus else Opcode.READDIR, directory.nodeid, wanted)
        if len(answer) > size:
            raise error(errno.EIO)
        if not plus:
            return unpack_listing(answer)
        pairs = unpack_listing_plus(answer)
        with fs.lock:
            for entry, listed in pairs:
                if entry.out.nodeid and listed.name not in _OWN_NAMES:
                    # What cannot be is a name all the same: whoever looks it up gets the error.
                    with contextlib.suppress(OSError):
                        directory.take(listed.name, entry)
        return [listed for _, listed in pairs]

    def _wants_plus(self, offset: int) -> bool:
        # fuse_use_readdirplus()
        flags = self.directory.fs.connection.flags
        if not flags & InitFlags.DO_READDIRPLUS:
            return False
        if not flags & InitFlags.READDIRPLUS_AUTO:
            return True
        advised, self.directory.wants_plus = self.directory.wants_plus, False
        return advised or not offset

    def sync(self) -> None:
        """FSYNCDIR. Errors: the server's."""
        directory = self.directory
        directory.fs.ask_if_known(Opcode.FSYNCDIR, directory.nodeid, (FSYNC_IN.pack(self.fh or 0, 0),), 0)

    def close(self) -> None:
        """Give the handle back."""
        if self.fh is not None:
            head = RELEASE_IN.pack(self.fh, self.flags, 0, 0)
            with contextlib.suppress(OSError):
                self.directory.fs.ask(Opcode.RELEASEDIR, self.directory.nodeid, head)


def open_listing(directory: FuseDirectory, flags: int) -> OpenListing:
    """Open a directory; a server without OPENDIR needs no handle.

    Errors: EIO; the server's.
    """
    answer = directory.fs.ask_if_known(Opcode.OPENDIR, directory.nodeid, (OPEN_IN.pack(flags, 0),), OPEN_OUT.size)
    return OpenListing(directory, None if answer is None else OPEN_OUT.unpack(answer).fh, flags)
