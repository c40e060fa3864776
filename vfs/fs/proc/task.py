"""The directory of one task (proc_pid(5))."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from vfs import mountinfo
from vfs.errors import error
from vfs.fs.attribute import AttributeFile
from vfs.fs.cgroupfs.membership import memberships
from vfs.fs.proc.links import DynamicLink
from vfs.fs.static import OpenDirectory
from vfs.inode import DirectoryEntry, Inode
from vfs.mount_tree import path_from

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.fs.proc.filesystem import ProcFilesystem
    from vfs.mount import VirtualDentry
    from vfs.namespace import MountNamespace
    from vfs.task import Task

_NAME_LIMIT: Final = 15
_NEEDS: Final = {
    "cwd": "cwd", "exe": "exe", "root": "root", "mountinfo": "root", "mounts": "root", "mountstats": "root",
}  # fmt: skip


class TaskDirectory(OpenDirectory):
    """Mount points may be made in it (see `SyntheticParent`). `whole_process` has the directory of threads too, a thread's own below that does not."""

    __slots__ = ("task",)

    fs: ProcFilesystem  # type: ignore[mutable-override]  # an inode never changes its file system

    def __init__(self, fs: ProcFilesystem, task: Task, *, whole_process: bool) -> None:
        super().__init__(fs, next(fs.inos), 0o555, fs.inos, errno.ENOENT)
        self.uid, self.gid = task.creds.uid, task.creds.gid
        self.task = task
        self.nlink = 3 if whole_process else 2
        show: dict[str, tuple[int, Callable[[], str]]] = {
            "cgroup": (0o444, lambda: memberships(fs.vfs, task)),
            "mountinfo": (0o444, lambda: self._mounts(mountinfo.mountinfo)),
            "mounts": (0o444, lambda: self._mounts(mountinfo.mounts)),
            "mountstats": (0o400, lambda: self._mounts(mountinfo.mountstats)),
            "status": (0o444, self._status),
        }
        for name, (mode, text) in show.items():
            self._add(name, AttributeFile(fs, next(fs.inos), mode, text))
        self._add("comm", AttributeFile(fs, next(fs.inos), 0o644, lambda: f"{task.name}\n", self._rename))
        self._add("cwd", DynamicLink(fs, next(fs.inos), lambda: self._place(task.cwd)))
        self._add("exe", DynamicLink(fs, next(fs.inos), lambda: self._place(task.exe)))
        self._add("root", DynamicLink(fs, next(fs.inos), lambda: self._place(task.root)))
        if whole_process:
            self.entries["task"] = ThreadsDirectory(fs, task)

    def _add(self, name: str, inode: Inode) -> None:
        inode.uid, inode.gid = self.uid, self.gid
        self.entries[name] = inode

    @property
    def alive(self) -> bool:
        """Whether there still is such a task."""
        return self.fs.vfs.tasks.get(self.task.tid) is self.task

    def check_access(self, creds: Credentials, mask: int) -> None:
        """Errors: EPERM, or ENOENT, for those from whom hidepid keeps it (proc_pid_permission); EACCES."""
        if self.fs.hides(self.task, creds):
            raise error(errno.ENOENT if self.fs.options.hidepid == "invisible" else errno.EPERM)
        super().check_access(creds, mask)

    def find(self, name: str) -> Inode | None:
        """See `Inode.find`; nothing once the task is gone."""
        return self.entries.get(name) if self.alive and self._known(name) else None

    def lookup(self, name: str) -> Inode:
        """Errors: ENOENT."""
        inode = self.find(name)
        if inode is None:
            raise error(errno.ENOENT, name)
        return inode

    def iterate(self) -> Iterator[DirectoryEntry]:
        """Errors: ENOENT once the task is gone."""
        if not self.alive:
            raise error(errno.ENOENT)
        for name, inode in self.entries.items():
            if self._known(name):
                yield DirectoryEntry(name, inode.ino, stat.S_IFMT(inode.mode))

    def _known(self, name: str) -> bool:
        # What follows from a place that nobody has told is not there: Linux always knows one.
        place = _NEEDS.get(name)
        return place is None or getattr(self.task, place) is not None

    # what the files say

    def _mounts(self, lines: Callable[[MountNamespace, VirtualDentry], list[str]]) -> str:
        root = self.task.root
        if root is None or root.mount.namespace is None:
            raise error(errno.EINVAL)
        return "".join(line + "\n" for line in lines(root.mount.namespace, root))

    def _place(self, place: VirtualDentry | None) -> str:
        """A place as the reader names it: from the acting task's root, or from that of the place's namespace."""
        if place is None:
            raise error(errno.ENOENT)
        current = self.fs.vfs.tasks.current
        root = current.root if current is not None else None
        if root is None and place.mount.namespace is not None:
            root = place.mount.namespace.root
        path = None if root is None else path_from(root, place)
        return f"(unreachable){place.dentry.path()}" if path is None else path

    def _rename(self, text: str) -> None:
        """Errors: EINVAL for somebody else than the process itself (comm_write)."""
        current = self.fs.vfs.tasks.current
        if current is None or current.tgid != self.task.tgid:
            raise error(errno.EINVAL)
        self.task.name = text.encode("utf-8", "surrogateescape")[:_NAME_LIMIT].decode("utf-8", "surrogateescape")

    def _status(self) -> str:
        """The lines of proc_pid_status(5) that are known here."""
        task, creds = self.task, self.task.creds
        uids, gids = ("\t".join([str(number)] * 4) for number in (creds.uid, creds.gid))
        groups = "".join(f"{gid} " for gid in sorted(creds.groups))
        name = task.name.replace("\\", "\\\\").replace("\n", "\\n")
        threads = len(self.fs.vfs.tasks.threads(task.tgid))
        return (
            f"Name:\t{name}\nTgid:\t{task.tgid}\nPid:\t{task.tid}\nPPid:\t{task.parent}\nUid:\t{uids}\nGid:\t{gids}\n"
            f"Groups:\t{groups}\nThreads:\t{threads}\n"
        )


class ThreadsDirectory(OpenDirectory):
    """/proc/PID/task: a directory for each thread of a process."""

    __slots__ = ("_process", "_threads")

    fs: ProcFilesystem  # type: ignore[mutable-override]  # an inode never changes its file system

    def __init__(self, fs: ProcFilesystem, process: Task) -> None:
        super().__init__(fs, next(fs.inos), 0o555, fs.inos, errno.ENOENT)
        self.uid, self.gid = process.creds.uid, process.creds.gid
        self._process = process
        self._threads: dict[int, TaskDirectory] = {}

    def stat_result(self, blocks: int) -> os.stat_result:
        """One link more for each thread."""
        self.nlink = 2 + len(self.fs.vfs.tasks.threads(self._process.tgid))
        return super().stat_result(blocks)

    def find(self, name: str) -> Inode | None:
        """See `Inode.find`."""
        task = self.fs.vfs.tasks.get(int(name)) if name.isascii() and name.isdigit() and name[0] != "0" else None
        if task is None or task.tgid != self._process.tgid:
            return self.entries.get(name)
        directory = self._threads.get(task.tid)
        if directory is None or directory.task is not task:
            directory = TaskDirectory(self.fs, task, whole_process=False)
            self._threads = {tid: each for tid, each in self._threads.items() if each.alive} | {task.tid: directory}
        return directory

    def lookup(self, name: str) -> Inode:
        """Errors: ENOENT."""
        inode = self.find(name)
        if inode is None:
            raise error(errno.ENOENT, name)
        return inode

    def iterate(self) -> Iterator[DirectoryEntry]:
        """The threads by number, and mount points."""
        for task in self.fs.vfs.tasks.threads(self._process.tgid):
            name = str(task.tid)
            yield DirectoryEntry(name, self.lookup(name).ino, stat.S_IFDIR)
        yield from super().iterate()
