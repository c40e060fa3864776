"""A root in memory, to look at."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from devproxy.linux.mountinfo import MountLine, parse_line
from devproxy.targets.memory.raw_file import RawFile
from devproxy.targets.opening import flags_of, require_openable, wrapped
from devproxy.targets.root import Kept
from vfs.credentials import ROOT
from vfs.errors import error
from vfs.mountinfo import mountinfo
from vfs.options import OpenOptions
from vfs.resolve import PathOperation, at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import IO, Any, Self

    from vfs.mount import VirtualDentry
    from vfs.namespace import MountNamespace
    from vfs.task import Task
    from vfs.virtual_filesystem import VirtualFilesystem

_CHUNK = 1 << 20
_READ = OpenOptions(os.O_RDONLY)


class MemoryRoot:
    """A `Root` in memory. `vfs` and `namespace` are the world that it lives in."""

    def __init__(self, vfs: VirtualFilesystem, namespace: MountNamespace, *, simulated: bool) -> None:
        self.vfs = vfs
        self.namespace = namespace
        self._simulated = simulated
        self._root = namespace.root
        self._kept: list[Kept] = []

    @property
    def simulated(self) -> bool:
        """See `Root.simulated`."""
        return self._simulated

    def listdir(self, path: str) -> list[str]:
        """See `Root.listdir`."""
        inode = self._find(path).dentry.inode
        try:
            return sorted(entry.name for entry in inode.iterate())
        except OSError as problem:
            raise OSError(problem.errno, problem.strerror, path) from None

    def stat(self, path: str) -> os.stat_result:
        """See `Root.stat`."""
        root = self._root
        return self.vfs.stat_at(ROOT, PathOperation(root, root, path))

    def lstat(self, path: str) -> os.stat_result:
        """See `Root.lstat`."""
        root = self._root
        return self.vfs.stat_at(ROOT, PathOperation(root, root, path, follow_final_symlink=False))

    def read_bytes(self, path: str) -> bytes:
        """See `Root.read_bytes`."""
        place = self._find(path)
        if not stat.S_ISREG(place.dentry.inode.mode):
            raise error(errno.EINVAL, path)
        with self.vfs.open_at(ROOT, at(place), _READ) as file:
            return b"".join(iter(lambda: file.read(_CHUNK), b""))

    def open(self, path: str, mode: str = "rb", *, devices: bool = False) -> IO[Any]:
        """See `Root.open`."""
        flags = flags_of(mode)
        with suppress(FileNotFoundError):
            require_openable(self._find(path).dentry.inode.mode, path, devices=devices)
        try:
            file = self.vfs.open_at(ROOT, PathOperation(self._root, self._root, path), OpenOptions(flags))
        except OSError as problem:
            raise OSError(problem.errno, problem.strerror, path) from None
        if flags & os.O_APPEND and file.seekable:
            file.seek(0, os.SEEK_END)
        return wrapped(RawFile(file, flags), mode)

    def readlink(self, path: str) -> str:
        """See `Root.readlink`."""
        place = self._find(path, follow=False)
        if not stat.S_ISLNK(place.dentry.inode.mode):
            raise error(errno.EINVAL, path)
        return place.dentry.inode.readlink()

    def mountinfo(self) -> list[MountLine]:
        """See `Root.mountinfo`."""
        return [parse_line(line) for line in mountinfo(self.namespace)]

    def keep(self, kept: Sequence[Kept]) -> None:
        """These are the mounts that can be saved."""
        self._kept = list(kept)

    def kept(self) -> list[Kept]:
        """See `Root.kept`."""
        return self._kept

    def _find(self, path: str, *, follow: bool = True) -> VirtualDentry:
        return self.vfs.get_dentry_at(ROOT, PathOperation(self._root, self._root, path, follow))

    def close(self) -> None:
        """Unmount everything, which closes the descriptors of what is shown of the machine."""
        self.vfs.release_mount_namespace(self.namespace)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class PodMemoryRoot(MemoryRoot):
    """A `Root` beside others in one world, each with a process of its own: whom /proc/self means depends on where it is looked
    up.
    """

    def __init__(self, vfs: VirtualFilesystem, namespace: MountNamespace, process: Task, *, simulated: bool) -> None:
        super().__init__(vfs, namespace, simulated=simulated)
        self._process = process

    def listdir(self, path: str) -> list[str]:
        """See `Root.listdir`."""
        with self.vfs.tasks.acting_as(self._process):
            return super().listdir(path)

    def stat(self, path: str) -> os.stat_result:
        """See `Root.stat`."""
        with self.vfs.tasks.acting_as(self._process):
            return super().stat(path)

    def lstat(self, path: str) -> os.stat_result:
        """See `Root.lstat`."""
        with self.vfs.tasks.acting_as(self._process):
            return super().lstat(path)

    def read_bytes(self, path: str) -> bytes:
        """See `Root.read_bytes`."""
        with self.vfs.tasks.acting_as(self._process):
            return super().read_bytes(path)

    def open(self, path: str, mode: str = "rb", *, devices: bool = False) -> IO[Any]:
        """See `Root.open`."""
        with self.vfs.tasks.acting_as(self._process):
            return super().open(path, mode, devices=devices)

    def readlink(self, path: str) -> str:
        """See `Root.readlink`."""
        with self.vfs.tasks.acting_as(self._process):
            return super().readlink(path)

    def close(self) -> None:
        """Unmount what is in this root, and end its process; the others of the pod stay."""
        super().close()
        self.vfs.tasks.exit(self._process)
