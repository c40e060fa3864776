"""Who is there: the processes and threads that a VFS is told of.

Nothing runs here. A caller that has processes of its own (a simulator, a server) says which there are, so that control groups
have members, proc has a directory for each, and `self` means somebody. Analogous to Linux's struct task_struct, of which this
is the part that file systems ask about.

`Tasks.current` is Linux's `current`: the task on whose behalf this thread calls. Who never says so is `default`, or nobody: /proc/self does
not exist for nobody, as for a process of another pid namespace, and pid 0 ("myself") is ESRCH.

Concurrency: changes under the lock of the VFS; `current` belongs to a thread.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from vfs.credentials import ROOT
from vfs.errors import error

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.mount import VirtualDentry

PID_MAX: Final = 1 << 22
"""Task numbers are smaller (PID_MAX_LIMIT, proc_sys_kernel(5))."""


class TaskGroup(Protocol):
    """What a task belongs to in one hierarchy: see vfs.fs.cgroupfs."""

    def check_fork(self) -> None:
        """Errors: EAGAIN if the group takes no further task."""


class Task:
    """One thread: `tid` is its number, `tgid` that of its process, whose first thread has both the same.

    `groups` says where it is in each hierarchy of control groups; a hierarchy that is not named has it in its root.
    """

    __slots__ = ("creds", "cwd", "exe", "groups", "name", "parent", "root", "tgid", "tid")

    def __init__(self, tid: int, tgid: int, parent: int, creds: Credentials) -> None:
        self.tid = tid
        self.tgid = tgid
        self.parent = parent
        self.creds = creds
        self.name = ""
        self.root: VirtualDentry | None = None
        self.cwd: VirtualDentry | None = None
        self.exe: VirtualDentry | None = None
        self.groups: dict[object, TaskGroup] = {}


class Tasks:
    """The tasks of a VFS, by number."""

    def __init__(self, lock: AbstractContextManager[object]) -> None:
        self._lock = lock
        self._tasks: dict[int, Task] = {}
        self._next = 1
        self._thread = threading.local()
        self.default: Task | None = None
        """Who calls in threads that never said so: for a VFS that is one process's, as long as that is there."""

    def __iter__(self) -> Iterator[Task]:
        """In the order of their numbers."""
        return iter(sorted(self._tasks.values(), key=lambda task: task.tid))

    def get(self, tid: int) -> Task | None:
        """The task of that number, or None."""
        return self._tasks.get(tid)

    def threads(self, tgid: int) -> list[Task]:
        """The threads of one process, in the order of their numbers."""
        return [task for task in self if task.tgid == tgid]

    def spawn(self, creds: Credentials = ROOT, parent: Task | None = None, *, thread: bool = False) -> Task:
        """A new process, or a thread of its parent's process; a child begins in its parent's groups and places (fork(2)).

        Preconditions: a thread has a parent.
        Errors: EAGAIN if a group of the parent takes no more tasks, or no number is left.
        """
        with self._lock:
            for group in parent.groups.values() if parent is not None else ():
                group.check_fork()
            tid = self._free()
            above = parent.tgid if parent is not None else 0
            if thread and parent is not None:
                task = Task(tid, parent.tgid, parent.parent, creds)
            else:
                task = Task(tid, tid, above, creds)
            if parent is not None:
                task.groups = dict(parent.groups)
                task.name, task.root, task.cwd, task.exe = parent.name, parent.root, parent.cwd, parent.exe
            self._tasks[tid] = task
            return task

    def _free(self) -> int:
        for _ in range(PID_MAX):
            tid = self._next
            self._next = tid + 1 if tid + 1 < PID_MAX else 1
            if tid not in self._tasks:
                return tid
        raise error(errno.EAGAIN)

    def exit(self, task: Task) -> None:
        """The task is gone, and out of its groups; the rest of its process stays."""
        with self._lock:
            self._tasks.pop(task.tid, None)

    @property
    def current(self) -> Task | None:
        """On whose behalf this thread calls; None for nobody, or for a task that is gone."""
        task: Task | None = getattr(self._thread, "task", self.default)
        return task if task is not None and self._tasks.get(task.tid) is task else None

    @contextmanager
    def acting_as(self, task: Task | None) -> Iterator[None]:
        """Let this thread's calls be those of a task for a while."""
        before = getattr(self._thread, "task", self.default)
        self._thread.task = task
        try:
            yield
        finally:
            self._thread.task = before
