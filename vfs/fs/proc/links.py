"""A link whose text depends on when it is read."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from vfs.inode import Inode

if TYPE_CHECKING:
    from vfs.filesystem import Filesystem


class DynamicLink(Inode):
    """A symbolic link of proc: size 0, whatever its text."""

    __slots__ = ("_text",)

    def __init__(self, fs: Filesystem, ino: int, text: Callable[[], str]) -> None:
        super().__init__(fs, ino, stat.S_IFLNK | 0o777, 0, 0)
        self._text = text
        self.atime_ns = self.mtime_ns = self.ctime_ns = time.time_ns()

    def readlink(self) -> str:
        """Errors: ENOENT for a link that means nothing now."""
        return self._text()
