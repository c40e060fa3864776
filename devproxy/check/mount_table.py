"""The mount table of a root, asked the questions that comparing needs."""

from __future__ import annotations

from devproxy.linux.mountinfo import MountLine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

# What lies inside these is the kernel's: they count as mounts, their contents never.
PSEUDO: Final = frozenset({"proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2"})
_CLASSES: Final = {"tmpfs": "tmpfs", "devtmpfs": "tmpfs", "overlay": "overlay", **{name: name for name in PSEUDO}}
_FLAGS: Final = frozenset({"ro", "nosuid", "nodev", "noexec", "nodiratime", "nosymfollow"})
BIND: Final = "bind"


def type_class(fstype: str) -> str:
    """What a file system type counts as: a devtmpfs is a tmpfs, and whatever holds bound files is a `bind`."""
    return _CLASSES.get(fstype, BIND)


def flags_in_force(line: MountLine) -> frozenset[str]:
    """The flags that a process meets: the mount's own, and read-only when the file system is. One word says how access
    times are kept (`relatime`, `noatime`, `strictatime`).
    """
    key = line.options, "ro" in line.super_options
    flags = _in_force.get(key)
    if flags is None:
        atime = next((word for word in ("noatime", "relatime") if word in line.options), "strictatime")
        flags = _FLAGS.intersection(line.options) | {atime, *(["ro"] if key[1] else [])}
        if len(_in_force) >= _MOST_KEPT:
            _in_force.clear()
        _in_force[key] = flags
    return flags


# A thousand mounts have a handful of combinations.
_in_force: Final[dict[tuple[tuple[str, ...], bool], frozenset[str]]] = {}
_MOST_KEPT: Final = 256


class MountTable:
    """The lines of mountinfo by mount point; several mounts on one point are kept in the order they were stacked.
    `points` are the mount points.
    """

    def __init__(self, lines: Iterable[MountLine]) -> None:
        self._stacks: dict[str, list[MountLine]] = {}
        for line in lines:
            self._stacks.setdefault(line.mount_point, []).append(line)
        for stack in self._stacks.values():
            if len(stack) > 1:
                stack[:] = _bottom_up(stack)
        self.points = frozenset(self._stacks)
        self._above: dict[str, str] = {}

    def stack(self, point: str) -> list[MountLine]:
        """The mounts on a point, the topmost last."""
        return self._stacks.get(point, [])

    def holding(self, path: str) -> MountLine | None:
        """The mount that a path lies on; for a mount point, the topmost mount there."""
        passed: list[str] = []
        while path not in self._stacks and path not in self._above and path != "/":
            passed.append(path)
            path = parent(path)
        point = self._above.get(path, path)
        self._above.update(dict.fromkeys(passed, point))
        stack = self.stack(point)
        return stack[-1] if stack else None

    def is_pseudo(self, path: str) -> bool:
        """Whether a path lies on a file system whose contents are the kernel's own; a mount point does if that is what
        is mounted there.
        """
        line = self.holding(path)
        return line is not None and line.fstype in PSEUDO

    def is_inside_pseudo(self, path: str) -> bool:
        """Whether a path is among the contents of such a file system, below its mount point."""
        return path != "/" and self.is_pseudo(parent(path))


def parent(path: str) -> str:
    """The directory that an absolute, clean path lies in."""
    return path.rpartition("/")[0] or "/"


def _bottom_up(stack: list[MountLine]) -> list[MountLine]:
    """Mounts of one point from the lowest to the topmost: each is the parent of the one stacked on it
    (proc_pid_mountinfo(5), field 2).
    """
    ids = {line.mount_id for line in stack}
    over = {line.parent_id: line for line in stack if line.parent_id != line.mount_id}
    ordered = [line for line in stack if line.parent_id not in ids or line.parent_id == line.mount_id][:1]
    while ordered and ordered[-1].mount_id in over and len(ordered) < len(stack):
        ordered.append(over[ordered[-1].mount_id])
    # Two trees may meet in one point, one of them hidden by a mount further up: the order of the file is as good as any.
    return ordered if len(ordered) == len(stack) else stack
