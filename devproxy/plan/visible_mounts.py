"""Which mount a path lies in, at each moment of a plan: the mount tree as far as it can be seen.

Plans know paths by their letters alone: what a symbolic link in the rootfs changes is for `build` to find.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from devproxy.plan.steps import Reason
from devproxy.record import Record


class Mounted(Record):
    """A mount that is visible. `is_users`: a bind without an overlay, in which nothing is made. `seal` is why it becomes
    read-only at the end, or None.
    """

    path: str
    is_users: bool
    seal: Reason | None


class VisibleMounts:
    """The mounts made so far, but for the root and those that a later one covers.

    Each question costs as many steps as the path has components, whatever the number of mounts; only prefixes as long
    as some mount point are looked up, because a path may have two thousand components.
    """

    def __init__(self) -> None:
        self._at: dict[str, Mounted] = {}
        self._paths: list[str] = []  # sorted
        self._lengths: set[int] = set()  # of every mount point so far
        self._holding: dict[str, Mounted | None] = {}  # of directories, until something is mounted

    def holding(self, path: str) -> Mounted | None:
        """The mount that `path` lies in, or is; None for the root's own directory."""
        found = self._at.get(path)
        if found is not None:
            return found
        directory = path[: path.rfind("/")]
        if directory not in self._holding:
            self._holding[directory] = self._look_up(directory)
        return self._holding[directory]

    def _look_up(self, path: str) -> Mounted | None:
        end = len(path)
        while end > 0:
            if end in self._lengths:
                found = self._at.get(path[:end])
                if found is not None:
                    return found
            end = path.rfind("/", 0, end)
        return None

    def above(self, path: str) -> Mounted | None:
        """The mount that the mount point `path` lies in, itself left out; None for the root's own directory."""
        return self._look_up(path[: path.rfind("/")])

    def add(self, mount: Mounted) -> list[Mounted]:
        """Mount on top of what is there; returns the mounts that cannot be seen any more, deepest first."""
        self._holding.clear()
        hidden = self._below(mount.path)
        if mount.path in self._at:
            hidden.append(self._at[mount.path])
        else:
            insort(self._paths, mount.path)
        self._at[mount.path] = mount
        self._lengths.add(len(mount.path))
        return hidden

    def sealed(self) -> list[Mounted]:
        """The visible mounts that become read-only at the end, deepest first."""
        return deepest_first([mount for mount in self._at.values() if mount.seal is not None])

    def _below(self, path: str) -> list[Mounted]:
        """Forget and return what is mounted below `path`."""
        first = bisect_left(self._paths, f"{path}/")
        last = bisect_left(self._paths, f"{path}0", first)  # 0 follows / in ASCII
        if first == last:
            return []
        hidden = [self._at.pop(below) for below in self._paths[first:last]]
        del self._paths[first:last]
        return deepest_first(hidden)


def deepest_first(mounts: list[Mounted]) -> list[Mounted]:
    """Children before their parents."""
    return sorted(mounts, key=lambda mount: mount.path.count("/"), reverse=True)
