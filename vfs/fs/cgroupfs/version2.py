"""The files of version 2: those of every group, and of the controllers cpu, memory and pids
(Documentation/admin-guide/cgroup-v2.rst; kernel/cgroup/cgroup.c).

All groups are domains: "threaded" is refused (EOPNOTSUPP), and a thread does not leave its process's group.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from vfs.errors import error
from vfs.fs.cgroupfs.control import ControlFile, Where, always, named_task, number, place, processes, threads
from vfs.fs.cgroupfs.pids import PIDS
from vfs.fs.cgroupfs.values import SPACE, UNLIMITED, memory_size, signed, unsigned

if TYPE_CHECKING:
    from vfs.fs.cgroupfs.group import Group

_BELOW: Final = Where.BELOW_ROOT
_NO_LIMIT: Final = (1 << 31) - 1
_DEPTH: Final = "cgroup.max.depth"
_DESCENDANTS: Final = "cgroup.max.descendants"
_PERIOD: Final = (1_000, 1_000_000)


def available(group: Group) -> list[str]:
    """The controllers that a group can hand on: the root those that version 1 has not taken."""
    if not group.is_root:
        return [name for name in CONTROLLERS if name in group.controllers]
    taken = group.hierarchy.world.bound()
    return [name for name in CONTROLLERS if name not in taken]


def check_limits(parent: Group) -> None:
    """Whether a group takes one more below (cgroup_check_hierarchy_limits). Errors: EAGAIN."""
    for level, group in enumerate(parent.ancestors(), 1):
        deep, many = group.values.get(_DEPTH, _NO_LIMIT), group.values.get(_DESCENDANTS, _NO_LIMIT)
        assert isinstance(deep, int)
        assert isinstance(many, int)
        if sum(1 for _ in group.descendants()) >= many or level > deep:
            raise error(errno.EAGAIN)


def _store_subtree_control(group: Group, text: str) -> None:
    """Errors: EINVAL for other words than +CONTROLLER and -CONTROLLER; ENOENT for one that the group lacks; EBUSY for
    disabling what a group below hands on, and for enabling in a group with tasks (cgroup_subtree_control_write).
    """
    enable: set[str] = set()
    disable: set[str] = set()
    for word in text.strip(SPACE).split(" "):
        if not word:
            continue
        sign, name = word[0], word[1:]
        if name not in available(group.hierarchy.root) or sign not in "+-":
            raise error(errno.EINVAL)
        (enable if sign == "+" else disable).add(name)
        (disable if sign == "+" else enable).discard(name)
    enable -= group.subtree_control
    disable &= group.subtree_control
    if enable - set(available(group)):
        raise error(errno.ENOENT)
    if any(disable & child.subtree_control for child in group.children.values()):
        raise error(errno.EBUSY)
    if enable and not group.is_root and group.tasks():
        raise error(errno.EBUSY)
    group.subtree_control = group.subtree_control - disable | enable
    for child in group.children.values():
        for name in [name for name in child.values if name.partition(".")[0] in disable]:
            del child.values[name]


def _move_process(group: Group, text: str) -> None:
    task = named_task(group.hierarchy.tasks, text)
    if group.subtree_control and not group.is_root:
        raise error(errno.EBUSY)
    place(group, group.hierarchy.tasks.threads(task.tgid))


def _move_thread(group: Group, text: str) -> None:
    task = named_task(group.hierarchy.tasks, text)
    if group.hierarchy.group_of(task) is not group:
        raise error(errno.EOPNOTSUPP)


def _store_type(_group: Group, text: str) -> None:
    raise error(errno.EOPNOTSUPP if text.strip(SPACE) == "threaded" else errno.EINVAL)


def _limit_on_groups(text: str) -> int:
    word = text.strip(SPACE)
    value = _NO_LIMIT if word == "max" else signed(word, 32)
    if value < 0:
        raise error(errno.ERANGE)
    return value


def _on_groups(name: str) -> ControlFile:
    plain = number(name, _NO_LIMIT, _limit_on_groups)

    def show(group: Group) -> str:
        value = group.values.get(name, _NO_LIMIT)
        return "max\n" if value == _NO_LIMIT else f"{value}\n"

    return plain._replace(show=show)


def _words(names: list[str]) -> str:
    return " ".join(names) + "\n" if names else ""


CORE: Final = (
    ControlFile("cgroup.controllers", lambda group: _words(available(group))),
    ControlFile("cgroup.events", lambda group: f"populated {int(group.populated())}\nfrozen 0\n", None, _BELOW),
    _on_groups(_DEPTH),
    _on_groups(_DESCENDANTS),
    ControlFile("cgroup.procs", processes, _move_process),
    ControlFile(
        "cgroup.subtree_control",
        lambda group: _words([name for name in CONTROLLERS if name in group.subtree_control]),
        _store_subtree_control,
    ),
    ControlFile("cgroup.threads", threads, _move_thread),
    ControlFile("cgroup.type", always("domain\n"), _store_type, _BELOW),
)


def _store_cpu_max(group: Group, text: str) -> None:
    """`QUOTA [PERIOD]`, in microseconds (cpu_max_write). Errors: EINVAL."""
    fields = text.split()
    if not 1 <= len(fields) <= 2:
        raise error(errno.EINVAL)
    quota = fields[0] if fields[0] == "max" else str(_decimal(fields[0]))
    period = _decimal(fields[1]) if len(fields) == 2 else _cpu_max(group)[1]
    if not _PERIOD[0] <= period <= _PERIOD[1] or (quota != "max" and int(quota) < _PERIOD[0]):
        raise error(errno.EINVAL)
    group.values["cpu.max"] = quota, period


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise error(errno.EINVAL)
    return int(text)


def _cpu_max(group: Group) -> tuple[str, int]:
    value = group.values.get("cpu.max", ("max", 100_000))
    assert isinstance(value, tuple)
    return value


def _weight(text: str) -> int:
    value = unsigned(text)
    if not 1 <= value <= 10_000:
        raise error(errno.ERANGE)
    return value


def _memory(name: str, default: int) -> ControlFile:
    def show(group: Group) -> str:
        value = group.values.get(name, default)
        return "max\n" if value == UNLIMITED else f"{value}\n"

    def store(group: Group, text: str) -> None:
        group.values[name] = memory_size(text, "max")

    return ControlFile(name, show, store, _BELOW)


def _show_cpu_max(group: Group) -> str:
    quota, period = _cpu_max(group)
    return f"{quota} {period}\n"


CONTROLLERS: Final[dict[str, tuple[ControlFile, ...]]] = {
    "cpu": (
        ControlFile("cpu.max", _show_cpu_max, _store_cpu_max, _BELOW),
        number("cpu.weight", 100, _weight, _BELOW),
    ),
    "memory": (
        _memory("memory.low", 0),
        _memory("memory.high", UNLIMITED),
        _memory("memory.max", UNLIMITED),
        _memory("memory.min", 0),
    ),
    "pids": PIDS,
}
"""The files of each controller, in the order in which Linux names controllers."""
