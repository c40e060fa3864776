"""In which groups a task is, as /proc/PID/cgroup tells (cgroups(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vfs.fs.cgroupfs.group import Hierarchies

if TYPE_CHECKING:
    from vfs.task import Task
    from vfs.virtual_filesystem import VirtualFilesystem


def memberships(vfs: VirtualFilesystem, task: Task) -> str:
    """A line for each hierarchy, the newest first: number, controllers and name, path. Version 2 is 0 and has neither."""
    found = vfs.shared.get("cgroup")
    if not isinstance(found, Hierarchies):
        return ""
    lines = []
    for hierarchy in reversed(found.named):
        words = [*hierarchy.controllers, *([f"name={hierarchy.name}"] if hierarchy.name else [])]
        lines.append(f"{hierarchy.number}:{','.join(words)}:{hierarchy.group_of(task).path()}\n")
    if found.unified.fs is not None or found.unified.root.children:
        lines.append(f"0::{found.unified.group_of(task).path()}\n")
    return "".join(lines)
