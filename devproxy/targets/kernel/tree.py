"""The tree that is being built, and how paths are found and made in it: by descriptors, never by paths of the host."""

from __future__ import annotations

import errno
import os
import stat

from devproxy.linux.paths import close_range
from devproxy.linux.syscalls import about
from devproxy.targets.target import MAXIMUM_LINKS, NewNode, behind_link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet
    from typing import Final

    from devproxy.linux.paths import Opener

_BATCH: Final = 64
_PARENTS: Final = 16


class Closer:
    """Descriptors that are no longer needed, closed many at a time: one system call for a run of neighbours."""

    def __init__(self) -> None:
        self._descriptors: list[int] = []

    def add(self, descriptor: int) -> None:
        """Close it soon; never before the next one is added, so that what was just added can still be used."""
        if len(self._descriptors) >= _BATCH:
            self.flush()
        self._descriptors.append(descriptor)

    def flush(self) -> None:
        """Close all of them now."""
        descriptors, self._descriptors = sorted(self._descriptors), []
        first = 0
        for index, descriptor in enumerate(descriptors, 1):
            if index == len(descriptors) or descriptors[index] != descriptor + 1:
                close_range(descriptors[first], descriptor)
                first = index


class Tree:
    """A root by the descriptor of its mount, with paths resolved inside it.

    Directories in which something was made or looked at are held open, a few of them, until something is mounted: then
    a path may lead elsewhere. `private` are the file systems, by st_dev, that were made for this tree and that nobody else
    can reach while it is built.
    """

    def __init__(self, root: int, opener: Opener, closer: Closer, private: AbstractSet[int] = frozenset()) -> None:
        self.root = root
        self._opener = opener
        self._closer = closer
        self._private = private
        self._parents: dict[str, int] = {}
        self._held_private: set[int] = set()

    def open(self, path: str, flags: int) -> int:
        """Open a path, links followed inside the root. The caller gives it back with `done`."""
        return self._opener(self.root, path, flags)

    def done(self, descriptor: int) -> None:
        """Close a descriptor, some time before the end."""
        self._closer.add(descriptor)

    def parent(self, path: str, *, make: bool = False) -> tuple[int, str]:
        """The directory that a path's last name is in, held open, and that name; `make` makes missing ones (0755).

        The name is "." where the last component is none of its own (`/`, `..`).
        """
        directory, _, name = path.rpartition("/")
        if name in ("", ".", ".."):
            directory, _, name = path.rstrip("/").rpartition("/")
            if name in ("", ".", ".."):
                directory, name = path, "."
        held = self._parents.get(directory)
        if held is None:
            held = self.make_directories(directory)[0] if make else self._open_directory(directory)
            self._hold(directory, held)
        return held, name

    def is_private(self, parent: int) -> bool:
        """Whether nobody else can change what is in a directory that `parent` returned: then what was made there is there."""
        return parent in self._held_private

    def _hold(self, directory: str, held: int) -> None:
        if len(self._parents) >= _PARENTS:
            oldest = self._parents.pop(next(iter(self._parents)))
            self._held_private.discard(oldest)
            self._closer.add(oldest)
        self._parents[directory] = held
        if self._private and os.fstat(held).st_dev in self._private:
            self._held_private.add(held)

    def forget(self) -> None:
        """Something was mounted: hold no directory any more."""
        if self._parents:
            for descriptor in self._parents.values():
                self._closer.add(descriptor)
            self._parents.clear()
            self._held_private.clear()

    def forget_but(self, path: str) -> None:
        """Something was mounted at a name of a directory that is held: hold that one alone. It is above what is new."""
        directory = path.rpartition("/")[0]
        if len(self._parents) == 1 and directory in self._parents:
            return
        held = self._parents.pop(directory, None)
        private = held in self._held_private
        self.forget()
        if held is not None:
            self._parents[directory] = held
            if private:
                self._held_private.add(held)

    def close(self) -> None:
        """Let go of the root and of the directories. Nothing may be asked afterwards."""
        self.forget()
        self._closer.add(self.root)

    def make_directories(self, path: str, mode: int = 0o755, links: int = 0) -> tuple[int, str]:
        """Open a directory, making what is missing: parents 0755, itself `mode`. A link that leads nowhere is followed
        inside the root, and made is what it leads to. Returns also the first path made.

        Errors: ELOOP for links in a circle; ENOTDIR, EROFS.
        """
        try:
            return self._open_directory(path), ""
        except FileNotFoundError:
            pass
        names = [name for name in path.split("/") if name not in ("", ".")]
        current, prefix, first = self._open_directory("/"), "", ""
        for index, name in enumerate(names, 1):
            above, prefix = prefix, f"{prefix}/{name}"
            found = self._open_if_there(prefix)
            if found is None:
                own = mode if index == len(names) else 0o755
                target = _make_directory(current, name, own, prefix)
                if target is not None:
                    self._closer.add(current)
                    further = behind_link(above, target, names[index:])
                    made = self.make_directories(further, mode, _one_more(links, path))
                    return made[0], first or made[1]
                first = first or prefix
                found = self._open_directory(prefix)
            self._closer.add(current)
            current = found
        return current, first

    def make_nodes(self, nodes: Iterable[NewNode]) -> int:
        """See `Target.make_nodes`: one system call each, as long as they are in directories that nobody else can change."""
        made = 0
        for path, mode, rdev in nodes:
            directory, _, name = path.rpartition("/")
            try:
                parent = self._parents.get(directory)
                if parent is None:
                    parent, name = self.parent(path, make=True)
                if parent not in self._held_private:
                    break
                os.mknod(name, mode, rdev, dir_fd=parent)
            except OSError:
                break
            made += 1
        return made

    def make_mount_point(self, path: str, *, directory: bool) -> str:
        """Make a directory (0755) or an empty file (0644) and its missing parents. Returns the first path made, "" if it is there
        by now. One system call where the directory it is in is held open already.
        """
        folder, _, name = path.rpartition("/")
        if not name or "/." in path or "//" in path:
            return self._make(path, directory=directory)
        parent, first = self._parents.get(folder), ""
        if parent is None:
            try:
                parent, first = self.make_directories(folder)
            except OSError:
                return self._make(path, directory=directory)  # fails too, and says where
            self._hold(folder, parent)
        try:
            with about(path):
                if directory:
                    os.mkdir(name, 0o755, dir_fd=parent)
                else:
                    # Not open(2): a descriptor that can write would keep the mount from being sealed.
                    os.mknod(name, stat.S_IFREG | 0o644, dir_fd=parent)
        except FileExistsError:
            made = self._make(path, directory=directory)
            return first or made
        return first or path

    def _make(self, path: str, *, directory: bool) -> str:
        if not directory:
            return self.make_file(path)
        made, first = self.make_directories(path)
        self._closer.add(made)
        return first

    def make_file(self, path: str, links: int = 0) -> str:
        """Make an empty file (0644) and its missing parents, links followed as for a directory. Returns the first path
        made, "" if it is there by now.

        Errors: ELOOP for links in a circle; ENOTDIR, EROFS.
        """
        folder, _, name = path.rstrip("/").rpartition("/")
        if not name:
            return ""  # the root, which is there, and no file
        parent, first = self.make_directories(folder)
        self._closer.add(parent)
        try:
            with about(path):
                os.mknod(name, stat.S_IFREG | 0o644, dir_fd=parent)  # see make_mount_point
        except FileExistsError:
            target = _target_of(parent, name)
            if target is None:
                return first
            made = self.make_file(behind_link(folder, target), _one_more(links, path))
            return first or made
        return first or path

    def _open_directory(self, path: str) -> int:
        return self._opener(self.root, path or "/", os.O_PATH | os.O_DIRECTORY)

    def _open_if_there(self, path: str) -> int | None:
        try:
            return self._open_directory(path)
        except FileNotFoundError:
            return None


def _make_directory(parent: int, name: str, mode: int, path: str) -> str | None:
    """mkdirat(2) for a name that was not found. Returns the target of a link that is there and leads nowhere."""
    try:
        with about(path):
            os.mkdir(name, mode, dir_fd=parent)
    except FileExistsError:
        return _target_of(parent, name)
    return None


def _target_of(parent: int, name: str) -> str | None:
    """Where a link leads. None for anything else that somebody has made by now: whoever opens it sees what it is."""
    try:
        return os.readlink(name, dir_fd=parent)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise
        return None


def _one_more(links: int, path: str) -> int:
    if links >= MAXIMUM_LINKS:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return links + 1
