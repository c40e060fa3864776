"""Where a path of the plan really lies in a root: mount tables name places, plans name paths that may hold links."""

from __future__ import annotations

import os
import stat

from devproxy.check.entry import Tree
from devproxy.check.mount_table import MountTable, parent
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_MOST_LINKS: Final = 40  # MAXSYMLINKS, path_resolution(7)


class _Walked(Record):
    """Where a path leads, and by how many links."""

    place: str
    links: int


class Places:
    """The places of one tree. Each is looked at once: what leads to a path is known from the path above it.

    Precondition: the tree does not change while it is asked.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._walked: dict[str, _Walked | None] = {"/": _Walked("/", 0)}
        self._links: dict[str, str | None] = {}

    def real(self, path: str) -> str:
        """`path` with every link followed inside the root (realpath(3)). What is missing, or cannot be looked at, is kept
        as it stands, and so is a path of more than 40 links: whoever compares it will see why.
        """
        new: list[str] = []
        above = path
        while above not in self._walked:
            new.append(above)
            above = parent(above)
        found = self._walked[above]
        while new:
            above = new.pop()
            found = self._walked[above] = None if found is None else self._step(found, above.rpartition("/")[2])
        return path if found is None else found.place

    def of(self, path: str) -> str:
        """Where a path lies, links on the way followed, a final one not: what mount tables name."""
        return os.path.join(self.real(parent(path)), path.rpartition("/")[2])

    def _step(self, before: _Walked, name: str) -> _Walked | None:
        """One name further, None if that takes too many links."""
        done, links = before
        left = [*reversed(_names(name))]  # the next one is the last
        while left:
            name = left.pop()
            if name == "..":
                done = os.path.dirname(done)
                continue
            here = os.path.join(done, name)
            target = self._link_at(here)
            if target is None:
                done = here
                continue
            links += 1
            if links > _MOST_LINKS:
                return None
            done = "/" if target.startswith("/") else done
            left.extend(reversed(_names(target)))
        return _Walked(done, links)

    def _link_at(self, place: str) -> str | None:
        if place not in self._links:
            self._links[place] = _read_link(self._tree, place)
        return self._links[place]


class MountPlaces(Places):
    """The places of a tree whose mount table is known."""

    def __init__(self, tree: Tree, table: MountTable) -> None:
        super().__init__(tree)
        self._table = table
        self._of_processes: dict[str, list[str]] | None = None

    def mounted(self, path: str) -> str:
        """The mount point that a path of the plan came to: where it really lies, or, below a process's directory in proc,
        the same place of another process. /proc/self was the builder when it mounted, and is not for who looks later.
        """
        place = path if path in self._table.points else self.real(path)
        if place in self._table.points:
            return place
        if self._of_processes is None:
            self._of_processes = {}
            for point in sorted(self._table.points):
                if any(name.isdecimal() for name in point.split("/")):
                    self._of_processes.setdefault(_whoevers(point), []).append(point)
        # proc(5): thread-self leads to self/task/TID.
        named = place.replace("/thread-self/", "/self/task/self/")
        points = self._of_processes.get(_whoevers(named), ())
        return next((point for point in points if _same_but_for_process(named, point)), place)


def _whoevers(place: str) -> str:
    """A place with the same word for every number, and for one's own."""
    return "/".join("self" if name.isdecimal() else name for name in place.split("/"))


def _same_but_for_process(place: str, point: str) -> bool:
    """Whether two places that differ in numbers and `self` alone are the same: `self` is any number, not the reverse."""
    names, others = place.split("/"), point.split("/")
    return all(name == other or other.isdecimal() for name, other in zip(names, others, strict=True))


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]


def _read_link(tree: Tree, path: str) -> str | None:
    try:
        return tree.readlink(path) if stat.S_ISLNK(tree.lstat(path).st_mode) else None
    except OSError:
        return None
