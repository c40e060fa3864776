"""Where a path of the plan really lies in a root: mount tables name places, plans name paths that may hold links."""

from __future__ import annotations

import os
import stat
from collections import deque

from devproxy.check.entry import Tree
from devproxy.check.mount_table import MountTable

_MOST_LINKS = 40  # MAXSYMLINKS, path_resolution(7)


def real_path(tree: Tree, path: str) -> str:
    """`path` with every link followed inside the root (realpath(3)). What is missing, or cannot be looked at, is kept
    as it stands, and so is a path of more than 40 links: whoever compares it will see why.
    """
    left, done, links = deque(_names(path)), "/", 0
    while left:
        name = left.popleft()
        if name == "..":
            done = os.path.dirname(done)
            continue
        here = os.path.join(done, name)
        target = _link_at(tree, here)
        if target is None:
            done = here
            continue
        links += 1
        if links > _MOST_LINKS:
            return path
        done = "/" if target.startswith("/") else done
        left.extendleft(reversed(_names(target)))
    return done


def mounted_place(tree: Tree, table: MountTable, path: str) -> str:
    """The mount point that a path of the plan came to: where it really lies, or, below a process's directory in proc,
    the same place of another process. /proc/self was the builder when it mounted, and is not for who looks later.
    """
    place = path if path in table.points else real_path(tree, path)
    if place in table.points:
        return place
    return next((point for point in table.points if _same_but_for_process(place, point)), place)


def _same_but_for_process(place: str, point: str) -> bool:
    # proc(5): thread-self leads to self/task/TID.
    names, others = place.replace("/thread-self/", "/self/task/self/").split("/"), point.split("/")
    return len(names) == len(others) and all(
        name == other or (other.isdecimal() and (name.isdecimal() or name == "self"))
        for name, other in zip(names, others, strict=True)
    )


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]


def _link_at(tree: Tree, path: str) -> str | None:
    try:
        return tree.readlink(path) if stat.S_ISLNK(tree.lstat(path).st_mode) else None
    except OSError:
        return None
