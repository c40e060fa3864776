"""The mounts that were attached, held by their descriptors until the root is finished.

Rights are taken away from a mount, not from what its path leads to by then: in a rootfs that somebody else writes, /proc may
be a directory without procfs for a moment, and the procfs beside it would stay as it is, with /proc/sys to be written.
"""

from __future__ import annotations

from devproxy.targets.kernel.tree import Closer


class Kept:
    """Mounts by the paths that they were attached at. Invariant: of two on one path, the later one."""

    def __init__(self, closer: Closer) -> None:
        self._closer = closer
        self._count = 0
        self._mounts: dict[str, tuple[int, int]] = {}  # the how-manieth, and its descriptor

    def add(self, path: str, mount: int) -> None:
        """Hold a mount that was attached at a path, and that whoever attached it needs no more. What covers the root itself
        is not held: paths begin below it.
        """
        if path == "/":
            self._closer.add(mount)
            return
        hidden = self._mounts.get(path)
        if hidden is not None:
            self._closer.add(hidden[1])
        self._count += 1
        self._mounts[path] = self._count, mount

    def holding(self, path: str) -> tuple[int, str] | None:
        """The mount that a path is in, and the path in it: of those at it and above the last one, which hides the others.
        None for what is in the root's own.
        """
        last, found, place = 0, None, path
        while place:
            kept = self._mounts.get(place)
            if kept is not None and kept[0] > last:
                last, found = kept[0], (kept[1], path[len(place) :] or "/")
            place = place.rpartition("/")[0]
        return found

    def at(self, path: str) -> int | None:
        """The mount whose root a path is."""
        found = self.holding(path)
        return found[0] if found is not None and found[1] == "/" else None

    @property
    def descriptors(self) -> list[int]:
        """All that are held."""
        return [mount for _, mount in self._mounts.values()]

    def close(self) -> None:
        """Let go of them."""
        for _, mount in self._mounts.values():
            self._closer.add(mount)
        self._mounts.clear()
