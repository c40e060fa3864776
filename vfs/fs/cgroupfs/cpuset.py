"""The cpuset controller of version 1 (kernel/cgroup/cpuset.c, cpuset-v1.c)."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from vfs.errors import error
from vfs.fs.cgroupfs.control import ControlFile, Where, flag, value_of
from vfs.fs.cgroupfs.values import list_of, number_set

if TYPE_CHECKING:
    from vfs.fs.cgroupfs.group import Group

_CPUS: Final = os.cpu_count() or 1
_NODE_LIMIT: Final = 1 << 10
_COUNTS: Final = {"cpuset.cpus": _CPUS, "cpuset.mems": 1}


def numbers(group: Group, name: str) -> frozenset[int]:
    """What a group may use: the root everything, another what it was given."""
    if group.is_root:
        return frozenset(range(_COUNTS[name]))
    value = group.values.get(name, frozenset())
    assert isinstance(value, frozenset)
    return value


def check_attach(group: Group) -> None:
    """Errors: ENOSPC for tasks that could run nowhere (cpuset_can_attach)."""
    if not numbers(group, "cpuset.cpus") or not numbers(group, "cpuset.mems"):
        raise error(errno.ENOSPC)


def clone(parent: Group, child: Group) -> None:
    """What a child gets from a parent with cgroup.clone_children."""
    for name in _COUNTS:
        child.values[name] = numbers(parent, name)


def _store(group: Group, name: str, text: str) -> None:
    """Errors: EACCES in the root, or for what the group above lacks; EBUSY for what a group below uses; ENOSPC for nothing
    while it has tasks; EINVAL for what a group beside it has for itself; ERANGE (validate_change, update_cpumask).
    """
    if group.parent is None:
        raise error(errno.EACCES)
    wanted = number_set(text, _CPUS if name == "cpuset.cpus" else _NODE_LIMIT)
    if any(numbers(child, name) - wanted for child in group.children.values()):
        raise error(errno.EBUSY)
    if wanted - frozenset(range(_COUNTS[name])):
        raise error(errno.EINVAL)
    if wanted - numbers(group.parent, name):
        raise error(errno.EACCES)
    exclusive = "cpuset.cpu_exclusive" if name == "cpuset.cpus" else "cpuset.mem_exclusive"
    for other in group.parent.children.values():
        apart = other is not group and (value_of(other, exclusive, 0) or value_of(group, exclusive, 0))
        if apart and wanted & numbers(other, name):
            raise error(errno.EINVAL)
    if not wanted and group.tasks():
        raise error(errno.ENOSPC)
    group.values[name] = wanted


def _set(name: str) -> tuple[ControlFile, ControlFile]:
    def show(group: Group) -> str:
        return list_of(numbers(group, name)) + "\n"

    effective = name.replace(".", ".effective_")
    return ControlFile(name, show, lambda group, text: _store(group, name, text)), ControlFile(effective, show)


FILES: Final = (
    flag("cpuset.cpu_exclusive"),
    *_set("cpuset.cpus"),
    *_set("cpuset.mems"),
    flag("cpuset.memory_migrate"),
    flag("cpuset.memory_pressure_enabled", where=Where.ROOT),
    flag("cpuset.memory_spread_page"),
    flag("cpuset.sched_load_balance", default=True),
)
