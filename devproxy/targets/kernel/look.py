"""What is at a path of a tree, without opening it."""

from __future__ import annotations

import errno
import os
import stat

from devproxy.linux.syscalls import about
from devproxy.node import number_of_rdev
from devproxy.targets.kernel.tree import Closer, Tree
from devproxy.targets.target import FileKind, Look, NumberFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Final

    from devproxy.linux.paths import Opener

_KINDS: Final = {
    stat.S_IFDIR: FileKind.DIRECTORY,
    stat.S_IFREG: FileKind.REGULAR,
    stat.S_IFLNK: FileKind.SYMLINK,
    stat.S_IFCHR: FileKind.CHARACTER,
    stat.S_IFBLK: FileKind.BLOCK,
    stat.S_IFIFO: FileKind.FIFO,
    stat.S_IFSOCK: FileKind.SOCKET,
}


class Looker:
    """Looks at many paths of a root that is whole: the directories that they are in are held open, a few at a time, so that one
    more path costs one call. `done` lets them go.
    """

    def __init__(self, root: int, opener: Opener) -> None:
        self._closer = Closer()
        self._tree = Tree(root, opener, self._closer)

    def lstat(self, path: str) -> os.stat_result:
        """See `Root.lstat`."""
        parent, name = self._tree.parent(path)
        try:
            return os.stat(name, dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            error.filename = path
            raise

    def lstats(self, paths: Iterable[str]) -> Iterator[os.stat_result | None]:
        """`lstat` of many paths, None for one that cannot be looked at."""
        return _lstats(self._tree, paths)

    def readlink(self, path: str) -> str:
        """See `Root.readlink`."""
        parent, name = self._tree.parent(path)
        with about(path):
            return os.readlink(name, dir_fd=parent)

    def done(self) -> None:
        """Close the directories."""
        self._tree.forget()
        self._closer.flush()


def _lstats(tree: Tree, paths: Iterable[str]) -> Iterator[os.stat_result | None]:
    """Precondition: nothing else is asked of the tree meanwhile, which could let go of a directory."""
    lstat, parent, directory = os.stat, -1, None
    for path in paths:
        above, _, name = path.rpartition("/")
        try:
            if above != directory or name in ("", ".", ".."):
                parent, name = tree.parent(path)
                directory = above
            found = lstat(name, dir_fd=parent, follow_symlinks=False)
        except OSError:
            directory = found = None
        yield found


def leading_directories(tree: Tree, paths: Iterable[str]) -> int:
    """See `Target.directories_in`."""
    number = 0
    for found in _lstats(tree, paths):
        if found is None or not stat.S_ISDIR(found.st_mode):
            break
        number += 1
    return number


def look(tree: Tree, path: str) -> Look | None:
    """See `Target.look`. One fstatat(2) where the directory is held open already."""
    try:
        parent, name = tree.parent(path)
    except FileNotFoundError:
        return None
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        error.filename = path
        raise
    link = os.readlink(name, dir_fd=parent) if stat.S_ISLNK(found.st_mode) else None
    return look_at(found, link)


def look_at(found: os.stat_result, link: str | None = None) -> Look:
    """A stat result, and for a symbolic link its target, as a `Look`."""
    kind = _KINDS[stat.S_IFMT(found.st_mode)]
    number = number_of_rdev(found.st_rdev) if kind in (FileKind.CHARACTER, FileKind.BLOCK) else None
    return Look(kind, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, number, link)


def number_on_host(path: str) -> NumberFound:
    """The number of the live host's node, a link not followed. Nothing is opened: opening a device may do something.

    Errors: ENOENT if it is missing, or no character device.
    """
    found = os.lstat(path)
    if not stat.S_ISCHR(found.st_mode):
        raise FileNotFoundError(errno.ENOENT, "the host has no such character device", path)
    return NumberFound(number_of_rdev(found.st_rdev), reserved=False)
