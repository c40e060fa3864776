"""The files of version 1: those of every group, and of the controllers cpu, cpuacct, cpuset, job, memory and pids
(Documentation/admin-guide/cgroup-v1; kernel/cgroup/cgroup-v1.c, kernel/sched/core.c, mm/memcontrol-v1.c).

Nothing runs here and no memory is charged, so what the kernel counts stays at nothing; files that would hold nothing else are
left out, as are those of the other controllers, realtime and burst bandwidth, and the kernel's own parts of memory. A limit is
kept and shown; pids.max is also enforced.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from vfs.errors import error
from vfs.fs.cgroupfs import cpuset
from vfs.fs.cgroupfs.control import (
    ControlFile,
    Where,
    always,
    flag,
    named_task,
    number,
    place,
    processes,
    threads,
    value_of,
)
from vfs.fs.cgroupfs.pids import PIDS
from vfs.fs.cgroupfs.values import SPACE, UNLIMITED, memory_size, signed, unsigned

if TYPE_CHECKING:
    from vfs.fs.cgroupfs.group import Group

_SHARES: Final = (2, 1 << 18)
_PERIOD: Final = (1_000, 1_000_000)
_NO_QUOTA: Final = -1


def _move_process(group: Group, text: str) -> None:
    task = named_task(group.hierarchy.tasks, text)
    _attach(group, text, whole=task.tgid)


def _move_thread(group: Group, text: str) -> None:
    _attach(group, text, whole=0)


def _attach(group: Group, text: str, *, whole: int) -> None:
    tasks = group.hierarchy.tasks
    if "cpuset" in group.controllers:
        cpuset.check_attach(group)
    place(group, tasks.threads(whole) if whole else [named_task(tasks, text)])


def _store_release_agent(group: Group, text: str) -> None:
    group.hierarchy.release_agent = text.strip(SPACE)


CORE: Final = (
    flag("cgroup.clone_children"),
    ControlFile("cgroup.procs", processes, _move_process),
    ControlFile("cgroup.sane_behavior", always("0\n"), None, Where.ROOT),
    flag("notify_on_release"),
    ControlFile("release_agent", lambda group: f"{group.hierarchy.release_agent}\n", _store_release_agent, Where.ROOT),
    ControlFile("tasks", threads, _move_thread),
)


def _store_shares(group: Group, text: str) -> None:
    shares = unsigned(text)
    if group.is_root:
        raise error(errno.EINVAL)
    group.values["cpu.shares"] = min(max(shares, _SHARES[0]), _SHARES[1])


def quota(group: Group) -> tuple[int, int]:
    """The bandwidth of a group in microseconds: quota, which is -1 for none, and period."""
    return value_of(group, "cpu.cfs_quota_us", _NO_QUOTA), value_of(group, "cpu.cfs_period_us", 100_000)


def _store_period(group: Group, text: str) -> None:
    _set_bandwidth(group, quota(group)[0], unsigned(text))


def _store_quota(group: Group, text: str) -> None:
    wanted = signed(text)
    _set_bandwidth(group, _NO_QUOTA if wanted < 0 else wanted, quota(group)[1])


def _set_bandwidth(group: Group, wanted: int, period: int) -> None:
    """tg_set_cfs_bandwidth(). A group's share of time is at most that of the group above.

    Errors: EINVAL.
    """
    if group.is_root or not _PERIOD[0] <= period <= _PERIOD[1] or 0 <= wanted < _PERIOD[0]:
        raise error(errno.EINVAL)
    before = dict(group.values)
    group.values["cpu.cfs_quota_us"], group.values["cpu.cfs_period_us"] = wanted, period
    if not _is_schedulable(group.hierarchy.root, None):
        group.values = before
        raise error(errno.EINVAL)


def _is_schedulable(group: Group, above: float | None) -> bool:
    wanted, period = quota(group)
    share = above if wanted == _NO_QUOTA else (wanted << 20) // period
    if above is not None and share is not None and share > above:
        return False
    return all(_is_schedulable(child, share) for child in group.children.values())


_CPU: Final = (
    ControlFile("cpu.cfs_period_us", lambda group: f"{quota(group)[1]}\n", _store_period),
    ControlFile("cpu.cfs_quota_us", lambda group: f"{quota(group)[0]}\n", _store_quota),
    ControlFile("cpu.shares", lambda group: f"{value_of(group, 'cpu.shares', 1024)}\n", _store_shares),
)


def _store_usage(_group: Group, text: str) -> None:
    # It can be set back to nothing, which it is.
    if unsigned(text):
        raise error(errno.EINVAL)


_CPUACCT: Final = (ControlFile("cpuacct.usage", always("0\n"), _store_usage),)


def _limit(name: str) -> ControlFile:
    def store(group: Group, text: str) -> None:
        size = memory_size(text, "-1")
        if group.is_root:
            raise error(errno.EINVAL)
        group.values[name] = size

    return ControlFile(name, lambda group: f"{value_of(group, name, UNLIMITED)}\n", store)


def _counter(name: str) -> ControlFile:
    """What was used or refused so far: nothing. Any write sets it back."""

    def store(_group: Group, _text: str) -> None:
        """Nothing to set back."""

    return ControlFile(name, always("0\n"), store)


def _swappiness(text: str) -> int:
    if unsigned(text) > 200:
        raise error(errno.EINVAL)
    return unsigned(text)


def _store_hierarchical(_group: Group, text: str) -> None:
    if unsigned(text) != 1:
        raise error(errno.EINVAL)


def _show_oom(group: Group) -> str:
    return f"oom_kill_disable {value_of(group, 'memory.oom_control', 0)}\nunder_oom 0\noom_kill 0\n"


def _store_oom(group: Group, text: str) -> None:
    wanted = unsigned(text)
    if group.is_root or wanted > 1:
        raise error(errno.EINVAL)
    group.values["memory.oom_control"] = wanted


_MEMORY: Final = (
    _counter("memory.failcnt"),
    _limit("memory.limit_in_bytes"),
    _counter("memory.max_usage_in_bytes"),
    ControlFile("memory.oom_control", _show_oom, _store_oom),
    _limit("memory.soft_limit_in_bytes"),
    number("memory.swappiness", 60, _swappiness),
    ControlFile("memory.usage_in_bytes", always("0\n")),
    ControlFile("memory.use_hierarchy", always("1\n"), _store_hierarchical),
)

_JOB: Final = (number("job.id", 0, signed),)

CONTROLLERS: Final[dict[str, tuple[ControlFile, ...]]] = {
    "cpu": _CPU,
    "cpuacct": _CPUACCT,
    "cpuset": cpuset.FILES,
    "job": _JOB,
    "memory": _MEMORY,
    "pids": PIDS,
}
"""The files of each controller; one that is not named has none here."""
