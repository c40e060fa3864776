"""Runs a program on the kernel's tmpfs: in a child process, whose root is a new directory in /dev/shm.

The child changes its root (so that absolute links and ".." stay inside), drops its groups, clears the umask, and acts as the
other user by its effective ids, which is what the kernel checks.
"""

from __future__ import annotations

import ctypes
import errno
import os
import pickle
import shutil
import stat
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.differential.vfs.programs import Call

from tests.differential.vfs.programs import USER

PLACE = "/dev/shm"
AT_FDCWD = -100
libc = ctypes.CDLL(None, use_errno=True)


def run(program: list[Call]) -> list[object]:
    """The result of each call, and the tree that is left."""
    place = tempfile.mkdtemp(dir=PLACE)
    os.chmod(place, 0o777)
    try:
        return in_child(place, program)
    finally:
        shutil.rmtree(place)


def in_child(place: str, program: list[Call], make_world: Callable[[str], World] | None = None) -> list[object]:
    """Run a program with `place` as its root."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            world = (make_world or enter)(place)
            os.setgroups([])
            os.umask(0)
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(world.run(program), pipe)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    assert answer, "the child that runs the program died"
    results: list[object] = pickle.loads(answer)
    return results


def enter(place: str) -> World:
    """A world whose root is a plain directory."""
    os.chroot(place)
    os.chdir("/")
    return World()


def check(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class World:
    """The calls, by `os`."""

    def __init__(self) -> None:
        self.files: dict[int, int] = {}

    def run(self, program: list[Call]) -> list[object]:
        results = [self.attempt(call) for call in program]
        os.chdir("/")
        return [*results, self.tree("/")]

    def attempt(self, call: Call) -> object:
        try:
            if call.as_user:
                os.setegid(USER)
                os.seteuid(USER)
            return getattr(self, call.name)(*call.arguments)
        except OSError as error:
            return f"E{error.errno}"
        finally:
            os.seteuid(0)
            os.setegid(0)

    def descriptor(self, slot: int) -> int:
        if slot not in self.files:
            raise OSError(errno.EBADF, "no such slot")
        return self.files[slot]

    def mkdir(self, path: str, mode: int) -> None:
        os.mkdir(path, mode)

    def mknod(self, path: str, kind: int, mode: int, rdev: int) -> None:
        os.mknod(path, kind | mode, rdev)

    def symlink(self, target: str, path: str) -> None:
        os.symlink(target, path)

    def link(self, old: str, new: str, follow: bool) -> None:
        old_name, new_name = os.fsencode(old), os.fsencode(new)
        check(libc.linkat(AT_FDCWD, old_name, AT_FDCWD, new_name, 0x400 if follow else 0))

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def rmdir(self, path: str) -> None:
        os.rmdir(path)

    def rename(self, old: str, new: str, flags: int) -> None:
        check(libc.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags))

    def chdir(self, path: str) -> None:
        os.chdir(path)

    def open(self, slot: int, path: str, flags: int, mode: int) -> None:
        self.close(slot)
        self.files[slot] = os.open(path, flags, mode)

    def close(self, slot: int) -> None:
        if slot in self.files:
            os.close(self.files.pop(slot))

    def stat(self, path: str, follow: bool) -> object:
        return attributes(os.stat(path, follow_symlinks=follow))

    def readlink(self, path: str) -> str:
        return os.readlink(path)

    def listdir(self, path: str) -> list[str]:
        return sorted(os.listdir(path))

    def access(self, path: str, mask: int) -> None:
        check(libc.faccessat(AT_FDCWD, os.fsencode(path), mask, 0x200))

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(path, mode)

    def chown(self, path: str, uid: int, gid: int, follow: bool) -> None:
        os.chown(path, uid, gid, follow_symlinks=follow)

    def truncate(self, path: str, size: int) -> None:
        os.truncate(path, size)

    def utime(self, path: str, seconds: int | None, follow: bool) -> None:
        os.utime(path, None if seconds is None else (seconds, seconds), follow_symlinks=follow)

    def setxattr(self, path: str, name: str, value: bytes, flags: int, follow: bool) -> None:
        os.setxattr(path, name, value, flags, follow_symlinks=follow)

    def getxattr(self, path: str, name: str, follow: bool) -> bytes:
        return os.getxattr(path, name, follow_symlinks=follow)

    def removexattr(self, path: str, name: str, follow: bool) -> None:
        os.removexattr(path, name, follow_symlinks=follow)

    def listxattr(self, path: str, follow: bool) -> list[str]:
        return sorted(os.listxattr(path, follow_symlinks=follow))

    def write(self, slot: int, data: bytes) -> int:
        return os.write(self.descriptor(slot), data)

    def read(self, slot: int, size: int) -> bytes:
        return os.read(self.descriptor(slot), size)

    def pwrite(self, slot: int, data: bytes, offset: int) -> int:
        return os.pwrite(self.descriptor(slot), data, offset)

    def pread(self, slot: int, size: int, offset: int) -> bytes:
        return os.pread(self.descriptor(slot), size, offset)

    def seek(self, slot: int, offset: int, whence: int) -> int:
        return os.lseek(self.descriptor(slot), offset, whence)

    def ftruncate(self, slot: int, size: int) -> None:
        os.ftruncate(self.descriptor(slot), size)

    def fstat(self, slot: int) -> object:
        return attributes(os.fstat(self.descriptor(slot)))

    def fchmod(self, slot: int, mode: int) -> None:
        os.fchmod(self.descriptor(slot), mode)

    def fallocate(self, slot: int, mode: int, offset: int, length: int) -> None:
        descriptor = self.descriptor(slot)
        check(libc.fallocate(descriptor, mode, ctypes.c_long(offset), ctypes.c_long(length)))

    def tree(self, path: str) -> list[object]:
        """Every file with its attributes and contents, and which names are one file."""
        rows: list[object] = []
        first_names: dict[tuple[int, int], str] = {}
        self._collect(path, rows, first_names)
        return rows

    def _collect(self, path: str, rows: list[object], first_names: dict[tuple[int, int], str]) -> None:
        info = os.lstat(path)
        contents: object = None
        if stat.S_ISREG(info.st_mode) and info.st_size <= 1 << 20:
            with open(path, "rb") as file:
                contents = file.read()
        elif stat.S_ISLNK(info.st_mode):
            contents = os.readlink(path)
        first = first_names.setdefault((info.st_dev, info.st_ino), path)
        rows.append((path, first, attributes(info), contents))
        if stat.S_ISDIR(info.st_mode):
            for name in self.listdir(path):
                self._collect(path.rstrip("/") + "/" + name, rows, first_names)


def attributes(info: os.stat_result) -> tuple[object, ...]:
    """What two worlds have in common: no numbers of inodes or devices, and of times only those that were set."""
    times = tuple(ns if abs(ns) < 10**12 else "now" for ns in (info.st_atime_ns, info.st_mtime_ns))
    return (
        *(oct(info.st_mode), info.st_nlink, info.st_uid, info.st_gid, info.st_size),
        *(info.st_blocks, info.st_rdev, times),
    )
