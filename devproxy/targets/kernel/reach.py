"""What a path of the plan is when rights are taken away there: looked for in the mounts that were attached, not by a path that somebody
else may change meanwhile (devproxy.targets.kernel.kept).

Two things a path alone would tell are told by the mounts themselves. The image may have a link from one mount point to another: then
a later mount lies over the earlier one, which nobody sees any more. And a link in a mount may lead out of it: what is meant is
where it leads in the root.
"""

from __future__ import annotations

import errno
import os

from devproxy.linux.mountinfo import parse_line
from devproxy.linux.paths import mount_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.targets.kernel.kept import Kept
    from devproxy.targets.kernel.paths import KernelPaths
    from devproxy.targets.kernel.tree import Closer


class Reach:
    """Opens what is at paths. It remembers what lies over mounts until something is mounted over one (`forget`)."""

    def __init__(self, kept: Kept, paths: KernelPaths, closer: Closer) -> None:
        self._kept = kept
        self._paths = paths
        self._closer = closer
        self._topmost: dict[int, int] = {}

    def open(self, root: int, path: str) -> int | None:
        """Open a path, in the mount that it is in. None if it is missing. Errors: ELOOP.

        Precondition: without openat2 the root is placed in this process's namespace, whose mountinfo tells what lies over what.
        """
        held = self._kept.holding(path)
        try:
            if held is None:
                return self._paths.opener(root, path, os.O_PATH)
            mount, below = self._over(held[0]), held[1]
            if below == "/":
                return os.dup(mount)  # of a file, too
            try:
                return self._paths.opener_beneath(mount, below[1:], os.O_PATH)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                return self._paths.opener(root, path, os.O_PATH)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def forget(self) -> None:
        """Something was mounted over a mount."""
        for mount, top in self._topmost.items():
            if top != mount and self._paths.openat2:
                self._closer.add(top)
        self._topmost.clear()

    def _over(self, mount: int) -> int:
        """The topmost of the mounts that lie over one: itself, as a rule."""
        top = self._topmost.get(mount)
        if top is None:
            top = self._topmost[mount] = self._by_parent(mount) if self._paths.openat2 else self._by_table(mount)
        return top

    def _by_parent(self, mount: int) -> int:
        """For openat2 the parent of a root is that root, with what lies over it (RESOLVE_IN_ROOT)."""
        try:
            top = self._paths.opener(mount, "..", os.O_PATH)
        except NotADirectoryError:
            return mount
        if mount_of(top) == mount_of(mount):
            self._closer.add(top)
            return mount
        return top

    def _by_table(self, mount: int) -> int:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
            lines = [parse_line(line) for line in table]
        points = {line.mount_id: line.mount_point for line in lines}
        over = {line.parent_id: line.mount_id for line in lines if points.get(line.parent_id) == line.mount_point}
        number = mount_of(mount)
        while number in over:
            number = over[number]
        return next((each for each in self._kept.descriptors if mount_of(each) == number), mount)
