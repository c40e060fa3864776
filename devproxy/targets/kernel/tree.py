"""The tree that is being built, and how paths are found and made in it: by descriptors, never by paths of the host."""

from __future__ import annotations

import errno
import os
from typing import Final

from devproxy.linux.paths import Opener, close_range
from devproxy.linux.syscalls import about

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
    a path may lead elsewhere.
    """

    def __init__(self, root: int, opener: Opener, closer: Closer) -> None:
        self.root = root
        self._opener = opener
        self._closer = closer
        self._parents: dict[str, int] = {}

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
        directory, _, name = path.rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            directory, name = path, "."
        held = self._parents.get(directory)
        if held is None:
            held = self.make_directories(directory)[0] if make else self._open_directory(directory)
            if len(self._parents) >= _PARENTS:
                self._closer.add(self._parents.pop(next(iter(self._parents))))
            self._parents[directory] = held
        return held, name

    def forget(self) -> None:
        """Something was mounted: hold no directory any more."""
        for descriptor in self._parents.values():
            self._closer.add(descriptor)
        self._parents.clear()

    def close(self) -> None:
        """Let go of the root and of the directories. Nothing may be asked afterwards."""
        self.forget()
        self._closer.add(self.root)

    def make_directories(self, path: str, mode: int = 0o755) -> tuple[int, str]:
        """Open a directory, making what is missing: parents 0755, itself `mode`. Returns also the first path made.

        Errors: ELOOP for a link that leads nowhere; ENOTDIR, EROFS.
        """
        try:
            return self._open_directory(path), ""
        except FileNotFoundError:
            pass
        names = [name for name in path.split("/") if name]
        current, prefix, first = self._open_directory("/"), "", ""
        for index, name in enumerate(names, 1):
            prefix += "/" + name
            try:
                found = self._open_directory(prefix)
            except FileNotFoundError:
                _make_directory(current, name, mode if index == len(names) else 0o755, prefix)
                first = first or prefix
                found = self._open_made(prefix)
            self._closer.add(current)
            current = found
        return current, first

    def _open_directory(self, path: str) -> int:
        return self._opener(self.root, path or "/", os.O_PATH | os.O_DIRECTORY)

    def _open_made(self, path: str) -> int:
        try:
            return self._open_directory(path)
        except FileNotFoundError:
            raise OSError(errno.ELOOP, "a symbolic link that leads nowhere inside the root", path) from None


def _make_directory(parent: int, name: str, mode: int, path: str) -> None:
    """mkdirat(2) for a name that was not found. If it exists now, whoever opens it next sees what it is."""
    try:
        with about(path):
            os.mkdir(name, mode, dir_fd=parent)
    except FileExistsError:
        return
