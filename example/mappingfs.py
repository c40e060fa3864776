"""The items of a mapping as files in one directory: they can be read, written, made and removed."""

from __future__ import annotations

import errno
import itertools
import stat
from collections.abc import Iterator, MutableMapping
from typing import ClassVar

import vfs
from vfs.errors import error


class MappingType(vfs.FilesystemType):
    """Mounted with `MountOptions(internal=mapping)`."""

    name = "mapping"

    def get_filesystem(
        self, world: vfs.VirtualFilesystem, creds: vfs.Credentials, source: str, options: vfs.MountOptions
    ) -> vfs.Filesystem:
        if options.data or not isinstance(options.internal, MutableMapping):
            raise error(errno.EINVAL, options.data)
        return MappingFilesystem(world, options.internal)


class MappingFilesystem(vfs.Filesystem):
    """One mapping, mounted."""

    def __init__(self, world: vfs.VirtualFilesystem, items: MutableMapping[str, bytes]) -> None:
        super().__init__(world, MappingType.name)
        self.items = items
        self.inos = itertools.count(1)
        self.root = vfs.Dentry("", None, Directory(self))

    def statfs(self) -> vfs.StatFilesystem:
        return vfs.StatFilesystem(type=0x6D617070, files=len(self.items))


class Directory(vfs.Inode):
    """The root. As long as an item has its name, it is one `Item`."""

    def __init__(self, fs: MappingFilesystem) -> None:
        super().__init__(fs, next(fs.inos), stat.S_IFDIR | 0o755, uid=0, gid=0)
        self.nlink = 2
        self.files = {name: Item(fs, name, 0o644, uid=0, gid=0) for name in fs.items}

    def lookup(self, name: str) -> vfs.Inode:
        if name not in self.files:
            raise error(errno.ENOENT, name)
        return self.files[name]

    def iterate(self) -> Iterator[vfs.DirectoryEntry]:
        return iter([vfs.DirectoryEntry(name, item.ino, stat.S_IFREG) for name, item in self.files.items()])

    def mknod(self, creds: vfs.Credentials, name: str, options: vfs.MknodOptions) -> vfs.Inode:
        if not stat.S_ISREG(options.mode) or not isinstance(self.fs, MappingFilesystem):
            raise error(errno.EPERM, name)
        self.files[name] = item = Item(self.fs, name, options.mode, creds.uid, creds.gid)
        item.store(b"")
        return item

    def unlink(self, name: str, inode: vfs.Inode) -> None:
        item = self.files.pop(name)
        item.nlink = 0  # whoever has it open may go on
        del item.fs.items[name]


class Item(vfs.Inode):
    """A regular file. What is written goes into the mapping at once, while the file has its name."""

    fs: MappingFilesystem  # type: ignore[mutable-override]
    largest: ClassVar[int] = 1 << 24

    def __init__(self, fs: MappingFilesystem, name: str, mode: int, uid: int, gid: int) -> None:
        super().__init__(fs, next(fs.inos), stat.S_IFREG | mode, uid, gid)
        self.name = name
        self.data = fs.items.get(name, b"")
        self.size = len(self.data)

    def store(self, data: bytes) -> None:
        self.data, self.size = data, len(data)
        if self.nlink:
            self.fs.items[self.name] = data

    def resized(self, size: int) -> bytes:
        if size > self.largest:
            raise error(errno.EFBIG, self.name)
        return self.data[:size].ljust(size, b"\0")

    def set_stat(self, changes: vfs.SetStat) -> None:
        if changes.size is None:
            raise error(errno.EPERM, self.name)
        self.store(self.resized(changes.size))

    def open(self, location: vfs.VirtualDentry, flags: int, creds: vfs.Credentials) -> vfs.File:
        return OpenItem(location, flags, creds)


class OpenItem(vfs.File):
    """Positions, access modes and O_APPEND are the business of `File`."""

    inode: Item  # type: ignore[mutable-override]

    def read_at(self, size: int, offset: int) -> bytes:
        return self.inode.data[offset : offset + size]

    def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        with self.inode.fs.lock:
            end = offset + len(data) if data else 0
            whole = self.inode.resized(max(self.inode.size, end))
            self.inode.store(whole[:offset] + bytes(data) + whole[end:] if data else whole)
        return len(data)
