"""What a layer is taken from and applied to: one mount's files, whatever holds them."""

from __future__ import annotations

import os

from devproxy.layer.entry import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Protocol, Self
else:
    Protocol = object


class TreeFile(Protocol):
    """A regular file that is being read. A context manager."""

    @property
    def size(self) -> int:
        """Its size in bytes when it was opened."""

    def data(self) -> list[tuple[int, int]]:
        """Where it has data: offsets and lengths, in order, holes left out (lseek(2), SEEK_DATA)."""

    def read(self, length: int, offset: int) -> bytes:
        """Up to `length` bytes; none behind the end."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class Tree(Protocol):
    """The files of one mount. Paths have no first slash, "" is the mount's own root. No symbolic link is followed anywhere, and
    what is mounted below is never seen.

    Errors: OSError as the calls of os; ENOTDIR where a link, or anything but a directory, is on the way.
    """

    def lstat(self, path: str) -> os.stat_result:
        """What is there. The owner is as the container sees it."""

    def names(self, path: str) -> list[str]:
        """The names in a directory, in no order."""

    def readlink(self, path: str) -> str:
        """The target of a symbolic link."""

    def xattrs(self, path: str) -> dict[str, bytes]:
        """All extended attributes of a file or directory."""

    def open(self, path: str) -> TreeFile:
        """Open a regular file to read. Errors: EINVAL if it is none by now."""

    def remove(self, path: str, *, directory: bool) -> None:
        """Remove a name; a directory has to be empty."""

    def make_directory(self, path: str) -> None:
        """Make a directory (0700)."""

    def make_node(self, path: str, mode: int, rdev: int) -> None:
        """mknod(2), `mode` having the format and no permissions."""

    def make_symlink(self, path: str, target: str) -> None:
        """symlink(2)."""

    def make_link(self, old: str, new: str) -> None:
        """link(2), both in this tree."""

    def write(self, path: str, size: int, pieces: Iterable[tuple[int, bytes]]) -> None:
        """Make a new regular file of `size` bytes with these pieces, by their offsets; a mount's own root, which is a file, gets
        them. Errors: EEXIST, ENOSPC, EFBIG.
        """

    def set_attributes(self, path: str, entry: Entry) -> None:
        """Give it the owner, permissions and time of `entry`. Where no other owner can be had, it keeps its maker's."""

    def set_xattrs(self, path: str, changes: Mapping[str, bytes | None]) -> None:
        """Set extended attributes, and remove those that are None."""

    def close(self) -> None:
        """Let go of what is held."""
