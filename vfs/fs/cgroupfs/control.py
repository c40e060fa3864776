"""What a control file is, and how tasks are moved by writing their numbers."""

from __future__ import annotations

import enum
import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from vfs.errors import error
from vfs.fs.cgroupfs.values import SPACE, signed, unsigned

if TYPE_CHECKING:
    from vfs.fs.cgroupfs.group import Group
    from vfs.task import Task, Tasks

Show = Callable[["Group"], str]
Store = Callable[["Group", str], None]


class Where(enum.Enum):
    """In which groups a file is."""

    EVERYWHERE = enum.auto()
    ROOT = enum.auto()
    BELOW_ROOT = enum.auto()


class ControlFile(NamedTuple):
    """One kind of file; `show` gives the text with its newline. Analogous to Linux's struct cftype."""

    name: str
    show: Show | None
    store: Store | None = None
    where: Where = Where.EVERYWHERE

    @property
    def mode(self) -> int:
        """cgroup_file_mode()."""
        return (0o444 if self.show else 0) | (0o644 if self.show and self.store else 0o200 if self.store else 0)

    def is_in(self, group: Group) -> bool:
        """Whether a group has it."""
        return self.where is Where.EVERYWHERE or (self.where is Where.ROOT) == group.is_root


def always(text: str) -> Show:
    """A file that says the same in every group."""
    return lambda _group: text


def number(name: str, default: int, parse: Callable[[str], int], where: Where = Where.EVERYWHERE) -> ControlFile:
    """A number that is kept as written, after `parse`."""

    def store(group: Group, text: str) -> None:
        group.values[name] = parse(text)

    return ControlFile(name, lambda group: f"{group.values.get(name, default)}\n", store, where)


def value_of(group: Group, name: str, default: int) -> int:
    """What a file of numbers holds."""
    value = group.values.get(name, default)
    assert isinstance(value, int)
    return value


def flag(name: str, *, default: bool = False, where: Where = Where.EVERYWHERE) -> ControlFile:
    """0, or 1 for any other number."""
    return number(name, int(default), lambda text: int(bool(unsigned(text))), where)


def named_task(tasks: Tasks, text: str) -> Task:
    """The task whose number is written; 0 is the writer (cgroup_procs_write_start).

    Errors: EINVAL for anything but a number; ESRCH for nobody's.
    """
    try:
        tid = signed(text.strip(SPACE), 32)
    except OSError:
        raise error(errno.EINVAL) from None
    if tid < 0:
        raise error(errno.EINVAL)
    task = tasks.get(tid) if tid else tasks.current
    if task is None:
        raise error(errno.ESRCH)
    return task


def processes(group: Group) -> str:
    """The processes with a thread in a group, a line each."""
    return "".join(f"{tgid}\n" for tgid in sorted({task.tgid for task in group.tasks()}))


def threads(group: Group) -> str:
    """The threads in a group, a line each."""
    return "".join(f"{task.tid}\n" for task in group.tasks())


def place(group: Group, tasks: list[Task]) -> None:
    """Let tasks be members of a group from now on."""
    for task in tasks:
        task.groups[group.hierarchy] = group
