"""The type, its options (Documentation/filesystems/proc.rst: hidepid, gid, subset) and the root directory."""

from __future__ import annotations

import errno
import itertools
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from vfs.credentials import Capability
from vfs.dentry import Dentry
from vfs.device import DeviceKind
from vfs.errors import error
from vfs.filesystem import FilesystemType
from vfs.fs.attribute import AttributeFile
from vfs.fs.proc.links import DynamicLink
from vfs.fs.proc.task import TaskDirectory
from vfs.fs.static import ROOT_INO, OpenDirectory, StaticFilesystem, Tree, parse_number, plant, refused
from vfs.inode import DirectoryEntry, Inode
from vfs.options import MountOptions, mount_data

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.task import Task
    from vfs.virtual_filesystem import VirtualFilesystem

_MAGIC: Final = 0x9FA0
_HIDEPID: Final = {
    "0": "off",
    "1": "noaccess",
    "2": "invisible",
    "4": "ptraceable",
    "off": "off",
    "noaccess": "noaccess",
    "invisible": "invisible",
    "ptraceable": "ptraceable",
}


class ProcOptions(NamedTuple):
    """Whom `hidepid` does not concern is in group `gid`; `only_tasks` is subset=pid."""

    gid: int
    hidepid: str
    only_tasks: bool

    def shown(self) -> str:
        """As mountinfo has them."""
        shown = [f"gid={self.gid}"] if self.gid else []
        shown += [f"hidepid={self.hidepid}"] if self.hidepid != "off" else []
        shown += ["subset=pid"] if self.only_tasks else []
        return ",".join(shown)


class ProcFilesystem(StaticFilesystem):
    """One mount. Tasks come and go, so that every name is asked for anew."""

    revalidates = True

    def __init__(self, vfs: VirtualFilesystem, options: ProcOptions, tree: Tree = ()) -> None:
        # A name that no process or entry has is not even looked up for making one: ENOENT, not EPERM.
        super().__init__(vfs, "proc", magic=_MAGIC, mode=0o555, options=options.shown(), refusal=errno.ENOENT)
        self.options = options
        self.inos = itertools.count(ROOT_INO)
        self.directory = RootDirectory(self)
        self.root = Dentry("", None, self.directory)
        if not options.only_tasks:
            plant(self.directory, tree)

    def hides(self, task: Task, creds: Credentials) -> bool:
        """Whether a task's directory is not for those (has_pid_permissions)."""
        hidepid = self.options.hidepid
        if hidepid == "off" or (hidepid != "ptraceable" and creds.in_group(self.options.gid)):
            return False
        return creds.uid != task.creds.uid and not creds.has(Capability.SYS_PTRACE)

    def unseen(self, task: Task) -> bool:
        """Whether the acting task does not even see that there is such a task."""
        current = self.vfs.tasks.current
        if current is None or self.options.hidepid not in {"invisible", "ptraceable"}:
            return False
        return self.hides(task, current.creds)


class RootDirectory(OpenDirectory):
    """The root: files, links, a directory for each process, and mount points that who builds a tree made."""

    __slots__ = ("_processes",)

    fs: ProcFilesystem  # type: ignore[mutable-override]  # an inode never changes its file system

    def __init__(self, fs: ProcFilesystem) -> None:
        super().__init__(fs, next(fs.inos), 0o555, fs.inos, errno.ENOENT)
        self._processes: dict[int, TaskDirectory] = {}
        vfs = fs.vfs
        if not fs.options.only_tasks:
            self.entries["devices"] = AttributeFile(fs, next(fs.inos), 0o444, lambda: _devices(vfs))
            self.entries["filesystems"] = AttributeFile(fs, next(fs.inos), 0o444, lambda: _filesystems(vfs))
            self.entries["mounts"] = DynamicLink(fs, next(fs.inos), lambda: "self/mounts")
        self.entries["self"] = DynamicLink(fs, next(fs.inos), lambda: str(_current(vfs).tgid))
        self.entries["thread-self"] = DynamicLink(fs, next(fs.inos), lambda: _thread_self(vfs))

    def find(self, name: str) -> Inode | None:
        """See `Inode.find`. A thread's number is found though it is not listed, as on Linux."""
        found = self.entries.get(name)
        if found is None and name.isascii() and name.isdigit() and not name.startswith("0"):
            task = self.fs.vfs.tasks.get(int(name))
            if task is not None and not self.fs.unseen(task):
                return self._directory(task)
        return found

    def lookup(self, name: str) -> Inode:
        """Errors: ENOENT."""
        inode = self.find(name)
        if inode is None:
            raise error(errno.ENOENT, name)
        return inode

    def _directory(self, task: Task) -> TaskDirectory:
        directory = self._processes.get(task.tid)
        if directory is None or directory.task is not task:
            known = {tid: each for tid, each in self._processes.items() if self.fs.vfs.tasks.get(tid) is each.task}
            directory = known[task.tid] = TaskDirectory(self.fs, task, whole_process=True)
            self._processes = known
        return directory

    def iterate(self) -> Iterator[DirectoryEntry]:
        """See `Inode.iterate`: processes last, by number."""
        yield from super().iterate()
        for task in self.fs.vfs.tasks:
            if task.tid == task.tgid and not self.fs.unseen(task):
                yield DirectoryEntry(str(task.tid), self._directory(task).ino, stat.S_IFDIR)


def _current(vfs: VirtualFilesystem) -> Task:
    task = vfs.tasks.current
    if task is None:
        raise error(errno.ENOENT)
    return task


def _thread_self(vfs: VirtualFilesystem) -> str:
    task = _current(vfs)
    return f"{task.tgid}/task/{task.tid}"


def _filesystems(vfs: VirtualFilesystem) -> str:
    """No type here is of a disk (S1)."""
    return "".join(f"nodev\t{each.type.name}\n" for each in vfs.filesystem_types if each.allow_user_list)


def _devices(vfs: VirtualFilesystem) -> str:
    groups = sorted(vfs.devices.groups().items(), key=lambda item: item[0][1])
    lines = {
        kind: "".join(f"{major:3d} {name}\n" for (which, major), name in groups if which is kind) for kind in DeviceKind
    }
    return f"Character devices:\n{lines[DeviceKind.CHARACTER]}\nBlock devices:\n{lines[DeviceKind.BLOCK]}"


class ProcType(FilesystemType):
    """Registers as "proc"; every mount shows `tree` beside the tasks and what the VFS knows, but with subset=pid."""

    name = "proc"

    def __init__(self, tree: Tree = ()) -> None:
        self._tree = tree

    def get_filesystem(
        self, vfs: VirtualFilesystem, creds: Credentials, source: str, options: MountOptions
    ) -> StaticFilesystem:
        """Errors: EINVAL; EEXIST or ENOTDIR for a tree that has two things at one path."""
        return ProcFilesystem(vfs, _parse(options.data), self._tree)


def _parse(data: str) -> ProcOptions:
    gid, hidepid, subset = 0, "off", False
    for key, value in mount_data(data):
        if key == "gid":
            gid = parse_number(key, value)
        elif key == "hidepid" and value in _HIDEPID:
            hidepid = _HIDEPID[value]
        elif (key, value) == ("subset", "pid"):
            subset = True
        else:
            raise refused(key, value)
    return ProcOptions(gid, hidepid, subset)
