"""Trees whose names are fixed: the ground that proc, sysfs, devpts, mqueue and cgroup stand on.

What such a file system shows is its kernel's business; here it is a root directory with the right mode, and the names that
its type puts there when it is mounted. Nobody changes the tree by system calls (EPERM, as kernfs says).

Mount points are the exception. Which names proc and sysfs have differs from kernel to kernel, so a container may ask for a
mount at a name that is not known here. Such a name is made in memory, called synthetic, by whoever builds the tree and holds
the directory itself (S50).
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from vfs.dentry import Dentry
from vfs.errors import error
from vfs.file import File
from vfs.filesystem import Filesystem, StatFilesystem
from vfs.inode import DirectoryEntry, Inode

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.mount import VirtualDentry
    from vfs.options import MkdirOptions, MknodOptions
    from vfs.virtual_filesystem import VirtualFilesystem

ROOT_INO: Final = 1


class Synthetic(NamedTuple):
    """A file that exists in memory only: a directory, a file with its `data`, a node, a fifo, or a link with its
    `target`.
    """

    mode: int
    uid: int = 0
    gid: int = 0
    rdev: int = 0
    target: str = ""
    data: bytes = b""


class SyntheticParent(Inode):
    """A directory that takes synthetic names, though nothing can be made in it by a system call."""

    __slots__ = ()

    def make_synthetic(self, name: str, what: Synthetic) -> None:
        """Put a name here that lives in memory. Preconditions: the name is free; the lock of the VFS is held."""
        raise NotImplementedError


class StaticFile(Inode):
    """A file that is there and cannot be changed: a regular one, a node, a fifo or a link."""

    __slots__ = ("data", "target")

    def __init__(self, fs: Filesystem, ino: int, what: Synthetic) -> None:
        super().__init__(fs, ino, what.mode, what.uid, what.gid)
        self.rdev = what.rdev
        self.target = what.target
        self.data = what.data
        self.size = len(what.data or os.fsencode(what.target))
        self.atime_ns = self.mtime_ns = self.ctime_ns = time.time_ns()

    def readlink(self) -> str:
        """Errors: EINVAL for what is no link."""
        return self.target if stat.S_ISLNK(self.mode) else super().readlink()

    def open(self, location: VirtualDentry, flags: int, creds: Credentials) -> File:
        """A file to read; nodes as everywhere.

        Errors: for writing to a regular file, EACCES as sysfs says to everybody (kernfs_fop_open), EROFS in memory over a machine's.
        """
        if not stat.S_ISREG(self.mode):
            return super().open(location, flags, creds)
        if flags & os.O_ACCMODE != os.O_RDONLY:
            raise error(errno.EACCES if isinstance(self.fs, StaticFilesystem) else errno.EROFS)
        return OpenStaticFile(self.data, location, flags, creds)


class OpenStaticFile(File):
    """An open file whose contents are fixed."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes, location: VirtualDentry, flags: int, creds: Credentials) -> None:
        super().__init__(location, flags, creds)
        self._data = data

    def read_at(self, size: int, offset: int) -> bytes:
        """What is there from `offset` on."""
        return self._data[offset : offset + size]


class StaticDirectory(Inode):
    """A directory that holds what its file system put there, and nothing else ever."""

    __slots__ = ("entries",)

    def __init__(self, fs: Filesystem, ino: int, mode: int) -> None:
        super().__init__(fs, ino, stat.S_IFDIR | mode, 0, 0)
        self.nlink = 2
        self.atime_ns = self.mtime_ns = self.ctime_ns = time.time_ns()
        self.entries: dict[str, Inode] = {}

    def find(self, name: str) -> Inode | None:
        """The file called `name`, or None."""
        return self.entries.get(name)

    def lookup(self, name: str) -> Inode:
        """Errors: ENOENT."""
        inode = self.entries.get(name)
        if inode is None:
            raise error(errno.ENOENT, name)
        return inode

    def iterate(self) -> Iterator[DirectoryEntry]:
        """The names in the order in which they were put here."""
        for name, inode in list(self.entries.items()):
            yield DirectoryEntry(name, inode.ino, stat.S_IFMT(inode.mode))


class OpenDirectory(StaticDirectory, SyntheticParent):
    """A directory that holds what its file system put there, and synthetic names. `refusal` is the errno for making others."""

    __slots__ = ("_inos", "_refusal")

    def __init__(self, fs: Filesystem, ino: int, mode: int, inos: Iterator[int], refusal: int) -> None:
        super().__init__(fs, ino, mode)
        self._inos = inos
        self._refusal = refusal

    def mknod(self, creds: Credentials, name: str, options: MknodOptions) -> Inode:
        """Errors: always, the file system's refusal; where that is EPERM, a regular file is EACCES (vfs_create)."""
        creates = stat.S_ISREG(options.mode) and self._refusal == errno.EPERM
        raise error(errno.EACCES if creates else self._refusal, name)

    def mkdir(self, creds: Credentials, name: str, options: MkdirOptions) -> Inode:
        """Errors: always, the file system's refusal."""
        raise error(self._refusal, name)

    def symlink(self, creds: Credentials, name: str, target: str) -> Inode:
        """Errors: always, the file system's refusal."""
        raise error(self._refusal, name)

    def make_synthetic(self, name: str, what: Synthetic) -> None:
        """See `SyntheticParent.make_synthetic`."""
        self.entries[name] = synthetic_inode(self.fs, what, self._inos, self._refusal)
        if stat.S_ISDIR(what.mode):
            self.nlink += 1


Tree = Sequence[tuple[str, Synthetic]]
"""What is in a file system of fixed names: each file, link or directory by its path from the root. Missing parents are made
(0755).
"""


def plant(root: OpenDirectory, tree: Tree) -> None:
    """Put a tree below a directory. Errors: EEXIST or ENOTDIR for two things at one path."""
    for path, what in tree:
        parent, _, name = path.rpartition("/")
        directory = _directory(root, parent)
        there = directory.entries.get(name)
        if there is None:
            directory.make_synthetic(name, what)
        elif not (stat.S_ISDIR(what.mode) and isinstance(there, OpenDirectory)):
            raise error(errno.ENOTDIR if stat.S_ISDIR(what.mode) else errno.EEXIST, path)


def _directory(root: OpenDirectory, path: str) -> OpenDirectory:
    current = root
    for name in path.split("/") if path else ():
        if name not in current.entries:
            current.make_synthetic(name, Synthetic(stat.S_IFDIR | 0o755))
        below = current.entries[name]
        if not isinstance(below, OpenDirectory):
            raise error(errno.ENOTDIR, path)
        current = below
    return current


def synthetic_inode(fs: Filesystem, what: Synthetic, inos: Iterator[int], refusal: int) -> Inode:
    """The inode of a synthetic name, a directory's ready to hold more of them."""
    if not stat.S_ISDIR(what.mode):
        return StaticFile(fs, next(inos), what)
    directory = OpenDirectory(fs, next(inos), stat.S_IMODE(what.mode), inos, refusal)
    directory.uid, directory.gid = what.uid, what.gid
    return directory


class StaticFilesystem(Filesystem):
    """A file system of fixed names. `magic` is what statfs(2) calls its type, `options` what mountinfo shows after rw.

    `whole` says that the names put in the root are all that any kernel has there; otherwise mount points may be synthetic.
    `refusal` is the errno that Linux has for making a name.
    """

    def __init__(
        self,
        vfs: VirtualFilesystem,
        type_name: str,
        *,
        magic: int,
        mode: int,
        options: str = "",
        whole: bool = False,
        refusal: int = errno.EPERM,
    ) -> None:
        super().__init__(vfs, type_name)
        self._magic = magic
        self._options = options
        self.directory: StaticDirectory = (
            StaticDirectory(self, ROOT_INO, mode)
            if whole
            else OpenDirectory(self, ROOT_INO, mode, itertools.count(ROOT_INO + 1), refusal)
        )
        self.root = Dentry("", None, self.directory)

    def statfs(self) -> StatFilesystem:
        """The magic number, and no blocks: nothing is stored."""
        return StatFilesystem(self._magic)

    def mount_options(self) -> str:
        """What the type understood of its data."""
        return self._options


def parse_number(key: str, value: str | None, base: int = 10) -> int:
    """The number in a mount option's value, which fits 32 bits (match_int of lib/parser.c, kstrtouint of lib/kstrtox.c).

    Errors: EINVAL for anything else, also for what int() would forgive: signs, spaces, underscores, other digits.
    """
    if not value or value.strip("0123456789"[:base]) or int(value, base) >= 1 << 32:
        raise refused(key, value)
    return int(value, base)


def refused(key: str, value: str | None) -> OSError:
    """The error for a mount option that the type does not know, or a value that it does not take: EINVAL naming it."""
    return error(errno.EINVAL, key if value is None else f"{key}={value}")
