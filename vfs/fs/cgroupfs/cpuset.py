"""The cpuset controller of version 1 (kernel/cgroup/cpuset.c, cpuset-v1.c)."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from vfs.errors import error
from vfs.fs.cgroupfs.control import ControlFile, Where, flag, value_of
from vfs.fs.cgroupfs.values import list_of, number_set, unsigned

if TYPE_CHECKING:
    from vfs.fs.cgroupfs.group import Group

_CPUS: Final = os.cpu_count() or 1
_NODE_LIMIT: Final = 1 << 10
_COUNTS: Final = {"cpuset.cpus": _CPUS, "cpuset.mems": 1}
_EXCLUSIVE: Final = {"cpuset.cpus": "cpuset.cpu_exclusive", "cpuset.mems": "cpuset.mem_exclusive"}


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
    _check_beside(group, name, wanted, _is_exclusive(group, name))
    if not wanted and group.tasks():
        raise error(errno.ENOSPC)
    group.values[name] = wanted


def _is_exclusive(group: Group, name: str) -> int:
    return value_of(group, _EXCLUSIVE[name], int(group.is_root))


def _check_beside(group: Group, name: str, wanted: frozenset[int], exclusive: int) -> None:
    """Errors: EINVAL for what another group of the same parent uses too, if one of them has it for itself."""
    for other in group.parent.children.values() if group.parent is not None else ():
        if other is not group and (exclusive or _is_exclusive(other, name)) and wanted & numbers(other, name):
            raise error(errno.EINVAL)


def _exclusive(name: str) -> ControlFile:
    """Whether a group has what it uses for itself.

    Errors of writing: EBUSY below a group that has; EACCES where the group above has not; EINVAL (validate_change).
    """

    def store(group: Group, text: str) -> None:
        wanted = int(bool(unsigned(text)))
        if any(_is_exclusive(child, name) > wanted for child in group.children.values()):
            raise error(errno.EBUSY)
        if group.parent is not None and wanted > _is_exclusive(group.parent, name):
            raise error(errno.EACCES)
        _check_beside(group, name, numbers(group, name), wanted)
        group.values[_EXCLUSIVE[name]] = wanted

    return ControlFile(_EXCLUSIVE[name], lambda group: f"{_is_exclusive(group, name)}\n", store)


def _set(name: str) -> tuple[ControlFile, ControlFile]:
    def show(group: Group) -> str:
        return list_of(numbers(group, name)) + "\n"

    effective = name.replace(".", ".effective_")
    return ControlFile(name, show, lambda group, text: _store(group, name, text)), ControlFile(effective, show)


FILES: Final = (
    _exclusive("cpuset.cpus"),
    _exclusive("cpuset.mems"),
    *_set("cpuset.cpus"),
    *_set("cpuset.mems"),
    flag("cpuset.memory_migrate"),
    flag("cpuset.memory_pressure_enabled", where=Where.ROOT),
    flag("cpuset.memory_spread_page"),
    flag("cpuset.sched_load_balance", default=True),
)
