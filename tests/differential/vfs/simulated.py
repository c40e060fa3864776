"""Runs a program on our tmpfs."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.differential.vfs.kernel import MOUNT_ROOT, asked, attributes
from tests.differential.vfs.programs import ACTORS
from vfs import (
    ROOT,
    Credentials,
    File,
    MkdirOptions,
    MknodOptions,
    MountFlags,
    MountOptions,
    OpenOptions,
    PathOperation,
    RenameOptions,
    SetStat,
    VirtualDentry,
    VirtualFilesystem,
)
from vfs.abi import MAY_EXEC
from vfs.copying import copy_range
from vfs.errors import error
from vfs.fs.tmpfs import TmpfsType
from vfs.options import NO_MOUNT_FLAGS
from vfs.resolve import at

if TYPE_CHECKING:
    from tests.differential.vfs.programs import Call
    from vfs.statx import Statx

CREDENTIALS = {
    who: Credentials(actor.uid, actor.uid, frozenset(actor.groups), actor.capabilities) for who, actor in ACTORS.items()
}


def run(program: list[Call], flags: MountFlags = NO_MOUNT_FLAGS, data: str = "") -> list[object]:
    """The result of each call, and the tree that is left."""
    return World(flags, data).run(program)


class World:
    """The calls, by a `VirtualFilesystem`, with a working directory and open files as a process has them."""

    switches = 0
    who = "root"

    def __init__(self, flags: MountFlags, data: str = "") -> None:
        self.vfs = VirtualFilesystem()
        self.vfs.register_filesystem_type(TmpfsType())
        options = MountOptions(flags, f"mode=0777,{data}")
        self.root: VirtualDentry = self.vfs.new_mount_namespace(ROOT, "none", "tmpfs", options).root
        self.cwd = self.root
        self.files: dict[int, File] = {}
        self.opened: dict[int, int] = {}
        self.creds = ROOT

    def run(self, program: list[Call]) -> list[object]:
        results = [self.attempt(call) for call in program]
        self.cwd = self.root
        return [*results, self.tree("/")]

    def attempt(self, call: Call) -> object:
        self.creds = CREDENTIALS[call.who]
        self.switches += call.who != self.who
        self.who = call.who
        try:
            return getattr(self, call.name)(*call.arguments)
        except OSError as raised:
            return f"E{raised.errno}"
        finally:
            self.creds = ROOT

    def at(self, path: str, follow: bool = True) -> PathOperation:
        return PathOperation(self.root, self.cwd, path, follow)

    def file(self, slot: int) -> File:
        if slot not in self.files:
            raise error(errno.EBADF)
        file = self.files[slot]
        # A descriptor may be used by others than its opener; what the kernel asks then is who uses it.
        file.creds = self.creds
        return file

    def mkdir(self, path: str, mode: int) -> None:
        self.vfs.mkdir_at(self.creds, self.at(path), MkdirOptions(mode))

    def mknod(self, path: str, kind: int, mode: int, rdev: int) -> None:
        self.vfs.mknod_at(self.creds, self.at(path), MknodOptions(kind | mode, rdev))

    def symlink(self, target: str, path: str) -> None:
        self.vfs.symlink_at(self.creds, self.at(path), target)

    def link(self, old: str, new: str, follow: bool) -> None:
        self.vfs.link_at(self.creds, self.at(old, follow), self.at(new))

    def unlink(self, path: str) -> None:
        self.vfs.unlink_at(self.creds, self.at(path))

    def rmdir(self, path: str) -> None:
        self.vfs.rmdir_at(self.creds, self.at(path))

    def rename(self, old: str, new: str, flags: int) -> None:
        self.vfs.rename_at(self.creds, self.at(old), self.at(new), RenameOptions(flags))

    def chdir(self, path: str) -> None:
        self.enter(self.vfs.get_dentry_at(self.creds, self.at(path)))

    def enter(self, place: VirtualDentry) -> None:
        if not stat.S_ISDIR(place.dentry.inode.mode):
            raise error(errno.ENOTDIR)
        place.dentry.inode.check_access(self.creds, MAY_EXEC)
        self.cwd = place

    def open(self, slot: int, path: str, flags: int, mode: int) -> None:
        self.keep(slot, self.vfs.open_at(self.creds, self.at(path), OpenOptions(flags, mode)))

    def close(self, slot: int) -> None:
        if slot in self.files:
            self.files.pop(slot).close()

    def stat(self, path: str, follow: bool) -> object:
        return attributes(self.vfs.stat_at(self.creds, self.at(path, follow)))

    def readlink(self, path: str) -> str:
        return self.vfs.readlink_at(self.creds, self.at(path))

    def listdir(self, path: str) -> list[str]:
        names = sorted(self.vfs.listdir_at(self.creds, self.at(path)))
        options = OpenOptions(os.O_RDONLY | os.O_DIRECTORY)
        with self.vfs.open_at(self.creds, self.at(path), options) as directory:
            if directory.inode.nlink:
                assert names == sorted(entry.name for entry in directory.read_directory())
        return names

    def access(self, path: str, mask: int) -> None:
        self.vfs.access_at(self.creds, self.at(path), mask)

    def chmod(self, path: str, mode: int) -> None:
        self.change(path, SetStat(mode=mode))

    def chown(self, path: str, uid: int, gid: int, follow: bool) -> None:
        changes = SetStat(uid=None if uid == -1 else uid, gid=None if gid == -1 else gid, chown=True)
        self.change(path, changes, follow)

    def truncate(self, path: str, size: int) -> None:
        self.change(path, SetStat(size=size))

    def utime(self, path: str, atime: int | str, mtime: int | str, follow: bool) -> None:
        changes = _times(atime, mtime)
        if changes is not None:
            self.change(path, changes, follow)

    def change(self, path: str, changes: SetStat, follow: bool = True) -> None:
        self.vfs.set_stat_at(self.creds, self.at(path, follow), changes)

    def setxattr(self, path: str, name: str, value: bytes, flags: int, follow: bool) -> None:
        self.vfs.setxattr_at(self.creds, self.at(path, follow), name, value, flags)

    def getxattr(self, path: str, name: str, follow: bool) -> bytes:
        return self.vfs.getxattr_at(self.creds, self.at(path, follow), name)

    def removexattr(self, path: str, name: str, follow: bool) -> None:
        self.vfs.removexattr_at(self.creds, self.at(path, follow), name)

    def listxattr(self, path: str, follow: bool) -> list[str]:
        return sorted(self.vfs.listxattr_at(self.creds, self.at(path, follow)))

    def write(self, slot: int, data: bytes) -> int:
        return self.file(slot).write(data)

    def read(self, slot: int, size: int) -> bytes:
        return self.file(slot).read(size)

    def pwrite(self, slot: int, data: bytes, offset: int) -> int:
        return self.file(slot).pwrite(data, offset)

    def pread(self, slot: int, size: int, offset: int) -> bytes:
        return self.file(slot).pread(size, offset)

    def seek(self, slot: int, offset: int, whence: int) -> int:
        position = self.file(slot).seek(offset, whence)
        return position if not stat.S_ISDIR(self.file(slot).inode.mode) else -1

    def ftruncate(self, slot: int, size: int) -> None:
        self.file(slot).truncate(size)

    def fstat(self, slot: int) -> object:
        return attributes(self.file(slot).stat())

    def fchmod(self, slot: int, mode: int) -> None:
        self.file(slot).set_stat(SetStat(mode=mode))

    def fchown(self, slot: int, uid: int, gid: int) -> None:
        changes = SetStat(uid=None if uid == -1 else uid, gid=None if gid == -1 else gid, chown=True)
        self.file(slot).set_stat(changes)

    def futime(self, slot: int, atime: int | str, mtime: int | str) -> None:
        file, changes = self.file(slot), _times(atime, mtime)
        if changes is not None:
            file.set_stat(changes)

    def fsetxattr(self, slot: int, name: str, value: bytes, flags: int) -> None:
        self.file(slot).set_xattr(name, value, flags)

    def fgetxattr(self, slot: int, name: str) -> bytes:
        return self.file(slot).get_xattr(name)

    def fremovexattr(self, slot: int, name: str) -> None:
        self.file(slot).remove_xattr(name)

    def flistxattr(self, slot: int) -> list[str]:
        return sorted(self.file(slot).list_xattr())

    def link_file(self, slot: int, path: str) -> None:
        if slot not in self.files:
            raise error(errno.EBADF)
        # The opener's credentials are no more its own once they were changed for others, though it take on the same again.
        file = self.files[slot]
        file.creds = self.creds if self.switches == self.opened.get(slot) else replace(self.creds)
        self.vfs.link_file_at(self.creds, file, self.at(path))

    def link_opened(self, slot: int, path: str) -> None:
        self.vfs.link_at(self.creds, at(self.file(slot).location), self.at(path))

    def openat(self, slot: int, start: int, path: str, flags: int, mode: int) -> None:
        op = replace(self.from_(start, path), allow_empty=False)
        self.keep(slot, self.vfs.open_at(self.creds, op, OpenOptions(flags, mode)))

    def reopen(self, slot: int, old: int, flags: int) -> None:
        place = self.file(old).location
        self.keep(slot, self.vfs.open_at(self.creds, at(place), OpenOptions(flags)))

    def keep(self, slot: int, file: File) -> None:
        self.close(slot)
        self.files[slot] = file
        self.opened[slot] = self.switches

    def from_(self, slot: int, path: str, follow: bool = True) -> PathOperation:
        start = self.root if path.startswith("/") else self.file(slot).location
        return PathOperation(self.root, start, path, follow, allow_empty=True)

    def statat(self, slot: int, path: str, follow: bool) -> object:
        if not path:
            return self.fstat(slot)
        return attributes(self.vfs.stat_at(self.creds, self.from_(slot, path, follow)))

    def readlinkat(self, slot: int, path: str) -> str:
        return self.vfs.readlink_at(self.creds, self.from_(slot, path))

    def fchdir(self, slot: int) -> None:
        self.enter(self.file(slot).location)

    def fstatfs(self, slot: int) -> int:
        return self.file(slot).location.mount.fs.statfs().name_max

    def fdlist(self, slot: int) -> list[str]:
        file = self.file(slot)
        file.seek(0)
        names = []
        while entries := file.read_directory(2):
            names += [entry.name for entry in entries]
        return sorted(names)

    def copy(self, source: int, start: int | None, target: int, to: int | None, length: int) -> int:
        return copy_range(self.file(source), start, self.file(target), to, length)

    def statx(self, path: str, mask: int, follow: bool) -> object:
        return _told(self.vfs.statx_at(self.creds, self.at(path, follow), mask), mask)

    def fstatx(self, slot: int, mask: int) -> object:
        return _told(self.file(slot).statx(mask), mask)

    def statfs(self, path: str) -> object:
        found = self.vfs.statfs_at(self.creds, self.at(path))
        _, size, blocks, free, available, files, files_free, name_max = found
        return size, blocks, free, available, files, files_free, name_max

    def fallocate(self, slot: int, mode: int, offset: int, length: int) -> None:
        self.file(slot).allocate(mode, offset, length)

    def tree(self, path: str) -> list[object]:
        """Every file with its attributes and contents, and which names are one file."""
        rows: list[object] = []
        self._collect(path, rows, {})
        return rows

    def _collect(self, path: str, rows: list[object], first_names: dict[tuple[int, int], str]) -> None:
        info = self.vfs.stat_at(ROOT, self.at(path, follow=False))
        contents: object = None
        if stat.S_ISREG(info.st_mode) and info.st_size <= 1 << 20:
            with self.vfs.open_at(ROOT, self.at(path)) as file:
                contents = file.read()
        elif stat.S_ISLNK(info.st_mode):
            contents = self.readlink(path)
        first = first_names.setdefault((info.st_dev, info.st_ino), path)
        rows.append((path, first, attributes(info), contents))
        if stat.S_ISDIR(info.st_mode):
            for name in self.listdir(path):
                self._collect(path.rstrip("/") + "/" + name, rows, first_names)


def _told(found: Statx, mask: int) -> object:
    told, root, info = found.mask & asked(mask), found.attributes & MOUNT_ROOT, found.stat
    return told, root, info.st_nlink, info.st_uid, info.st_gid, info.st_mode, found.btime_ns > 10**18


def _times(atime: int | str, mtime: int | str) -> SetStat | None:
    """What utimensat(2) is asked for; None for nothing, which Linux does not even look for the file for."""
    if atime == mtime == "omit":
        return None
    if atime == mtime == "now":
        return SetStat(touch=True)
    chosen = [t * 10**9 if isinstance(t, int) else None for t in (atime, mtime)]
    return SetStat(atime_ns=chosen[0], mtime_ns=chosen[1], atime_now=atime == "now", mtime_now=mtime == "now")
