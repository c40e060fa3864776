"""Control groups and their hierarchies, apart from the files that show them (cgroups(7)).

Analogous to Linux's struct cgroup and cgroup_root. A group keeps what was written to its files in `values`, by file name; what
was never written has its file's default. Members are the tasks of the VFS that say so (`Task.groups`): a task that is not in any
group of a hierarchy is in its root.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vfs.errors import error

if TYPE_CHECKING:
    from vfs.fs.cgroupfs.filesystem import CgroupFilesystem
    from vfs.task import Task, Tasks

DEPTH_LIMIT = 1 << 31


class Group:
    """A node of a hierarchy. Invariant: `parent.children[name] is self` until it is removed."""

    __slots__ = ("children", "gid", "hierarchy", "name", "parent", "subtree_control", "uid", "values")

    def __init__(self, hierarchy: Hierarchy, parent: Group | None, name: str, uid: int = 0, gid: int = 0) -> None:
        self.hierarchy = hierarchy
        self.parent = parent
        self.name = name
        self.uid, self.gid = uid, gid
        self.children: dict[str, Group] = {}
        self.values: dict[str, object] = {}
        self.subtree_control: frozenset[str] = frozenset()

    @property
    def is_root(self) -> bool:
        """Whether nothing is above."""
        return self.parent is None

    @property
    def controllers(self) -> frozenset[str]:
        """What the group's own files are for."""
        if not self.hierarchy.unified:
            return frozenset(self.hierarchy.controllers)
        return frozenset() if self.parent is None else self.parent.subtree_control

    def ancestors(self) -> Iterator[Group]:
        """The group itself and all above it."""
        group: Group | None = self
        while group is not None:
            yield group
            group = group.parent

    def descendants(self) -> Iterator[Group]:
        """All below it."""
        for child in list(self.children.values()):
            yield child
            yield from child.descendants()

    def path(self) -> str:
        """The path from the root, as /proc/PID/cgroup shows it."""
        return "/" + "/".join(group.name for group in reversed(list(self.ancestors())[:-1]))

    def tasks(self) -> list[Task]:
        """The tasks in this group itself."""
        return [task for task in self.hierarchy.tasks if self.hierarchy.group_of(task) is self]

    def populated(self) -> bool:
        """Whether there is a task in it or below."""
        return any(self in self.hierarchy.group_of(task).ancestors() for task in self.hierarchy.tasks)

    def count(self) -> int:
        """The tasks in it and below."""
        return sum(self in self.hierarchy.group_of(task).ancestors() for task in self.hierarchy.tasks)

    def check_fork(self) -> None:
        """See `vfs.task.TaskGroup`: pids.max of the group and those above it.

        Errors: EAGAIN.
        """
        for group in self.ancestors():
            limit = group.values.get("pids.max")
            if isinstance(limit, int) and "pids" in group.controllers and group.count() >= limit:
                raise error(errno.EAGAIN)


class Hierarchy:
    """A tree of groups. `unified` is version 2; version 1 has fixed `controllers`, perhaps none and a `name`.

    `fs` shows it, while it is mounted: one file system however often it is mounted.
    """

    def __init__(
        self, world: Hierarchies, controllers: tuple[str, ...], name: str = "", *, unified: bool = False
    ) -> None:
        self.world = world
        self.tasks = world.tasks
        self.controllers = controllers
        self.name = name
        self.unified = unified
        self.number = 0
        self.root = Group(self, None, "")
        self.fs: CgroupFilesystem | None = None
        self.release_agent: str = ""

    def group_of(self, task: Task) -> Group:
        """Where a task is."""
        group = task.groups.get(self, self.root)
        assert isinstance(group, Group)
        return group


class Hierarchies:
    """All of a VFS: the unified one, and those of version 1 in the order in which they were made. Under the lock of the VFS."""

    def __init__(self, tasks: Tasks) -> None:
        self.tasks = tasks
        self.unified = Hierarchy(self, (), unified=True)
        self.named: list[Hierarchy] = []

    def bound(self) -> frozenset[str]:
        """The controllers that version 1 has, and version 2 therefore lacks."""
        return frozenset(controller for hierarchy in self.named for controller in hierarchy.controllers)

    def find_or_make(self, controllers: tuple[str, ...], name: str, *, none: bool) -> Hierarchy:
        """The hierarchy that a mount asks for (cgroup1_root_to_use, rebind_subsystems).

        Errors: EBUSY for a name or a controller of another hierarchy; EINVAL for a new name without "none" or controllers.
        """
        for hierarchy in self.named:
            if name and hierarchy.name != name:
                continue
            if (controllers or none) and controllers != hierarchy.controllers:
                if not name:
                    continue
                raise error(errno.EBUSY)
            return hierarchy
        if not controllers and not none:
            raise error(errno.EINVAL)
        in_use = self.bound() | self.unified.root.subtree_control
        if not in_use.isdisjoint(controllers):
            raise error(errno.EBUSY)
        made = Hierarchy(self, controllers, name)
        used = {hierarchy.number for hierarchy in self.named}
        made.number = next(number for number in range(1, len(used) + 2) if number not in used)
        self.named.append(made)
        return made

    def unmounted(self, hierarchy: Hierarchy) -> None:
        """A hierarchy without groups goes with its last mount; another stays until it is mounted again (cgroups(7))."""
        hierarchy.fs = None
        if not hierarchy.unified and not hierarchy.root.children:
            self.named.remove(hierarchy)
            for task in self.tasks:
                task.groups.pop(hierarchy, None)
