"""The files of one mount in memory: what a save reads and a restore writes there."""

from __future__ import annotations

import errno
import os
import stat

from devproxy.layer.entry import Entry, Kind, below, is_at_or_below, join
from devproxy.targets.memory.names import path_error
from devproxy.targets.root import Kept
from vfs import dcache
from vfs.credentials import ROOT
from vfs.fs.overlay.filesystem import OverlayFilesystem
from vfs.mount import VirtualDentry
from vfs.options import MkdirOptions, MknodOptions, OpenOptions, SetStat
from vfs.resolve import PathOperation, at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from devproxy.targets.target import KeptMount
    from vfs.dentry import Dentry
    from vfs.file import File
    from vfs.mount import Mount
    from vfs.virtual_filesystem import VirtualFilesystem


class DentryFile:
    """A `TreeFile`."""

    def __init__(self, file: File) -> None:
        self._file = file
        self.size = file.stat().st_size

    def data(self) -> list[tuple[int, int]]:
        """See `TreeFile.data`."""
        pieces, end = [], 0
        while end < self.size:
            try:
                start = self._file.seek(end, os.SEEK_DATA)
                end = min(self._file.seek(start, os.SEEK_HOLE), self.size)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                break  # nothing but a hole from here
            if start >= self.size:
                break
            pieces.append((start, end - start))
        return pieces

    def read(self, length: int, offset: int) -> bytes:
        """See `TreeFile.read`."""
        return self._file.pread(length, offset)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()


class DentryTree:
    """A `Tree` from a place on: what is mounted below is passed by. `rootless` roots have one owner alone, who is there already."""

    def __init__(self, vfs: VirtualFilesystem, root: VirtualDentry, *, rootless: bool = False) -> None:
        self._vfs = vfs
        self._root = root
        self._rootless = rootless
        self._path = ""  # of the directory that was asked for last
        self._way: list[Dentry] = []  # it and the directories above it, the deepest last

    # looking

    def lstat(self, path: str) -> os.stat_result:
        """See `Tree.lstat`."""
        return self._vfs.stat_at(ROOT, self._found(path))

    def names(self, path: str) -> list[str]:
        """See `Tree.names`."""
        return self._vfs.listdir_at(ROOT, self._found(path))

    def readlink(self, path: str) -> str:
        """See `Tree.readlink`."""
        return self._vfs.readlink_at(ROOT, self._found(path))

    def xattrs(self, path: str) -> dict[str, bytes]:
        """See `Tree.xattrs`."""
        place = self._found(path)
        try:
            return {name: self._vfs.getxattr_at(ROOT, place, name) for name in self._vfs.listxattr_at(ROOT, place)}
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
            return {}

    def open(self, path: str) -> DentryFile:
        """See `Tree.open`."""
        if not stat.S_ISREG(self.lstat(path).st_mode):
            raise path_error(errno.EINVAL, path)
        return DentryFile(self._vfs.open_at(ROOT, self._found(path), OpenOptions(os.O_RDONLY)))

    # making

    def remove(self, path: str, *, directory: bool) -> None:
        """See `Tree.remove`."""
        place = self._operation(path)
        if directory:
            self._vfs.rmdir_at(ROOT, place)
        else:
            self._vfs.unlink_at(ROOT, place)

    def make_directory(self, path: str) -> None:
        """See `Tree.make_directory`."""
        self._vfs.mkdir_at(ROOT, self._operation(path), MkdirOptions(0o700))

    def make_node(self, path: str, mode: int, rdev: int) -> None:
        """See `Tree.make_node`."""
        self._vfs.mknod_at(ROOT, self._operation(path), MknodOptions(mode, rdev))

    def make_symlink(self, path: str, target: str) -> None:
        """See `Tree.make_symlink`."""
        self._vfs.symlink_at(ROOT, self._operation(path), target)

    def make_link(self, old: str, new: str) -> None:
        """See `Tree.make_link`."""
        self._vfs.link_at(ROOT, self._operation(old), self._operation(new))

    def write(self, path: str, size: int, pieces: Iterable[tuple[int, bytes]]) -> None:
        """See `Tree.write`."""
        flags = os.O_WRONLY | (os.O_CREAT | os.O_EXCL if path else os.O_TRUNC)
        with self._vfs.open_at(ROOT, self._operation(path), OpenOptions(flags, 0o600)) as file:
            for offset, data in pieces:
                written = 0
                while written < len(data):
                    written += file.pwrite(data[written:], offset + written)
            file.truncate(size)

    def set_attributes(self, path: str, entry: Entry) -> None:
        """See `Tree.set_attributes`. The owner first, since a new owner takes set-id bits away."""
        place = self._found(path)
        if not self._rootless:
            self._vfs.set_stat_at(ROOT, place, SetStat(uid=entry.uid, gid=entry.gid, chown=True))
        if entry.kind is not Kind.SYMLINK:
            self._vfs.set_stat_at(ROOT, place, SetStat(mode=entry.mode))
        self._vfs.set_stat_at(ROOT, place, SetStat(atime_ns=entry.mtime_ns, mtime_ns=entry.mtime_ns))

    def set_xattrs(self, path: str, changes: Mapping[str, bytes | None]) -> None:
        """See `Tree.set_xattrs`."""
        place = self._found(path)
        for name, value in changes.items():
            if value is None:
                self._vfs.removexattr_at(ROOT, place, name)
            else:
                self._vfs.setxattr_at(ROOT, place, name, value)

    # directories

    def _found(self, path: str) -> PathOperation:
        """What is at a path. Errors: ENOENT, ENOTDIR."""
        directory, _, name = path.rpartition("/")
        return at(
            VirtualDentry(
                self._root.mount, self._child(self._directory(directory), name) if path else self._root.dentry
            )
        )

    def _operation(self, path: str) -> PathOperation:
        """A name to make or remove."""
        if not path:
            return at(self._root)
        directory, _, name = path.rpartition("/")
        start = VirtualDentry(self._root.mount, self._directory(directory))
        return PathOperation(self._root, start, name, follow_final_symlink=False)

    def _directory(self, path: str) -> Dentry:
        """A directory, held until the next is asked for. The way goes on from the nearest directory on it that is held."""
        while not is_at_or_below(path, self._path):
            self._way.pop()
            self._path = self._path.rpartition("/")[0]
        for name in below(path, self._path).split("/") if path != self._path else ():
            self._way.append(self._child(self._way[-1] if self._way else self._root.dentry, name))
            self._path = join(self._path, name)
        return self._way[-1] if self._way else self._root.dentry

    @staticmethod
    def _child(directory: Dentry, name: str) -> Dentry:
        if not stat.S_ISDIR(directory.inode.mode):
            raise path_error(errno.ENOTDIR, name)
        child = dcache.find(directory, name)
        if child is None:
            raise path_error(errno.ENOENT, name)
        return child

    def close(self) -> None:
        """See `Tree.close`."""
        self._path = ""
        self._way.clear()


def kept_of(vfs: VirtualFilesystem, kept: KeptMount, mount: Mount) -> Kept:
    """What is saved of a mount: of an overlay its upper layer."""
    place, fs = VirtualDentry(mount, mount.root), mount.fs
    if isinstance(fs, OverlayFilesystem) and fs.layers.upper is not None:
        place = fs.layers.upper
    return Kept(kept.destination, kept.path, kept.kind, DentryTree(vfs, place))
