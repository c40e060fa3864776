"""The files of one mount by the descriptor of its root: what a save reads and a restore writes on the kernel.

Every name is looked up in a directory that is held open, one component at a time, and no link is followed: whoever changes the
tree meanwhile leads nowhere. A path may be longer than PATH_MAX.
"""

from __future__ import annotations

import errno
import os
import stat

from devproxy.layer.entry import Entry, Kind, below, is_at_or_below, join
from devproxy.linux.paths import chown_descriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Final, Self

_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FOUND: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_HELD: Final = 32
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class DescriptorFile:
    """A `TreeFile`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def data(self) -> list[tuple[int, int]]:
        """See `TreeFile.data`."""
        pieces, end = [], 0
        while end < self.size:
            try:
                start = os.lseek(self._descriptor, end, os.SEEK_DATA)
                end = min(os.lseek(self._descriptor, start, os.SEEK_HOLE), self.size)
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
        return os.pread(self._descriptor, length, offset)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._descriptor)


class DescriptorTree:
    """A `Tree`. `root` is the caller's. `owner` is the uid and gid of the only user there is in a rootless container, who is
    0:0 there.
    """

    def __init__(self, root: int, owner: tuple[int, int] | None = None, *, inside: bool = False) -> None:
        """`inside` says that this process is in the user namespace of that user."""
        self._root = root
        self._rootless = owner is not None
        self._owner = None if inside else owner
        self._path = ""  # of the directory that was asked for last
        self._way: list[
            int
        ] = []  # descriptors of it and of the directories above it, the deepest last, as many as are held

    # looking

    def lstat(self, path: str) -> os.stat_result:
        """See `Tree.lstat`."""
        if not path:
            return self._seen(os.fstat(self._root))
        directory, name = self._parent(path)
        return self._seen(os.stat(name, dir_fd=directory, follow_symlinks=False))

    def _seen(self, found: os.stat_result) -> os.stat_result:
        if self._owner is None:
            return found
        uid, gid = self._owner
        times = {"st_atime_ns": found.st_atime_ns, "st_mtime_ns": found.st_mtime_ns, "st_ctime_ns": found.st_ctime_ns}
        fields = list(found)
        fields[4] = 0 if found.st_uid == uid else found.st_uid
        fields[5] = 0 if found.st_gid == gid else found.st_gid
        floats = (found.st_atime, found.st_mtime, found.st_ctime)
        return os.stat_result((*fields, *floats), {**times, "st_rdev": found.st_rdev})

    def names(self, path: str) -> list[str]:
        """See `Tree.names`."""
        directory = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._directory(path))
        try:
            return os.listdir(directory)
        finally:
            os.close(directory)

    def readlink(self, path: str) -> str:
        """See `Tree.readlink`."""
        directory, name = self._parent(path)
        return os.readlink(name, dir_fd=directory)

    def xattrs(self, path: str) -> dict[str, bytes]:
        """See `Tree.xattrs`."""
        found = self._found(path)
        try:
            own = f"/proc/self/fd/{found}"
            return {name: os.getxattr(own, name) for name in os.listxattr(own)}
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
            return {}
        finally:
            os.close(found)

    def open(self, path: str) -> DescriptorFile:
        """See `Tree.open`. It is opened a second time, through its descriptor, once it is known what it is."""
        found = self._found(path)
        try:
            if not stat.S_ISREG(os.fstat(found).st_mode):
                raise OSError(errno.EINVAL, "it was a file, and is none any more")
            return DescriptorFile(os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC))
        finally:
            os.close(found)

    # making

    def remove(self, path: str, *, directory: bool) -> None:
        """See `Tree.remove`."""
        parent, name = self._parent(path)
        if directory:
            os.rmdir(name, dir_fd=parent)
        else:
            os.unlink(name, dir_fd=parent)

    def make_directory(self, path: str) -> None:
        """See `Tree.make_directory`."""
        parent, name = self._parent(path)
        os.mkdir(name, 0o700, dir_fd=parent)

    def make_node(self, path: str, mode: int, rdev: int) -> None:
        """See `Tree.make_node`."""
        parent, name = self._parent(path)
        os.mknod(name, mode, rdev, dir_fd=parent)

    def make_symlink(self, path: str, target: str) -> None:
        """See `Tree.make_symlink`."""
        parent, name = self._parent(path)
        os.symlink(target, name, dir_fd=parent)

    def make_link(self, old: str, new: str) -> None:
        """See `Tree.make_link`."""
        there, old_name = self._parent(old)
        there = os.dup(there)
        try:
            parent, name = self._parent(new)
            os.link(old_name, name, src_dir_fd=there, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(there)

    def write(self, path: str, size: int, pieces: Iterable[tuple[int, bytes]]) -> None:
        """See `Tree.write`."""
        if path:
            parent, name = self._parent(path)
            descriptor = os.open(name, _NEW, 0o600, dir_fd=parent)
        else:
            descriptor = os.open(f"/proc/self/fd/{self._root}", os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            for offset, data in pieces:
                written = 0
                while written < len(data):
                    written += os.pwrite(descriptor, data[written:], offset + written)
            os.ftruncate(descriptor, size)
        finally:
            os.close(descriptor)

    def set_attributes(self, path: str, entry: Entry) -> None:
        """See `Tree.set_attributes`. The owner first, since a new owner takes set-id bits away."""
        found = self._found(path)
        try:
            if not self._rootless:
                chown_descriptor(found, entry.uid, entry.gid)
            if entry.kind is not Kind.SYMLINK:
                os.chmod(f"/proc/self/fd/{found}", entry.mode)
        finally:
            os.close(found)
        times = (entry.mtime_ns, entry.mtime_ns)
        if path:
            parent, name = self._parent(path)
            os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)
        else:
            os.utime(f"/proc/self/fd/{self._root}", ns=times)

    def set_xattrs(self, path: str, changes: Mapping[str, bytes | None]) -> None:
        """See `Tree.set_xattrs`."""
        found = self._found(path)
        try:
            for name, value in changes.items():
                if value is None:
                    os.removexattr(f"/proc/self/fd/{found}", name)
                else:
                    os.setxattr(f"/proc/self/fd/{found}", name, value)
        finally:
            os.close(found)

    # directories

    def _found(self, path: str) -> int:
        """A descriptor of what is at a path, the caller's."""
        if not path:
            return os.dup(self._root)
        parent, name = self._parent(path)
        return os.open(name, _FOUND, dir_fd=parent)

    def _parent(self, path: str) -> tuple[int, str]:
        directory, _, name = path.rpartition("/")
        return self._directory(directory), name

    def _directory(self, path: str) -> int:
        """A descriptor of a directory, held until the next is asked for. The way goes on from the nearest directory on it that is
        held: whoever goes up a deep tree does not begin at its root for each level.
        """
        while not is_at_or_below(path, self._path):
            self._leave()
        for name in below(path, self._path).split("/") if path != self._path else ():
            inside = os.open(name, _DIRECTORY, dir_fd=self._way[-1] if self._way else self._root)
            if len(self._way) == _HELD:
                os.close(self._way.pop(0))
            self._way.append(inside)
            self._path = join(self._path, name)
        return self._way[-1] if self._way else self._root

    def _leave(self) -> None:
        """Go up one directory, or to the root where the one above is no longer held."""
        os.close(self._way.pop())
        self._path = self._path.rpartition("/")[0] if self._way else ""

    def close(self) -> None:
        """See `Tree.close`."""
        while self._way:
            self._leave()
