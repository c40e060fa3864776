"""Runs programs on the kernel's tmpfs: in a child process, each in a new directory of a tmpfs that goes with the child.

The child changes its root (so that absolute links and ".." stay inside), clears the umask, and takes on the credentials of
who makes a call: effective ids, supplementary groups and effective capabilities, which are what the kernel checks.
"""

from __future__ import annotations

import ctypes
import errno
import os
import pickle
import signal
import stat
import struct
import traceback
from functools import partial
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.differential.vfs.programs import Call

from tests.differential.vfs.acting import Credentials, check, libc

__all__ = ["World", "check", "in_child", "in_children", "libc", "run", "run_all"]

PLACE = "/dev/shm"
AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_SYMLINK_FOLLOW = 0x400
CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18


def run(program: list[Call]) -> list[object]:
    """The result of each call, and the tree that is left."""
    return run_all([program])[0]


def run_all(programs: list[list[Call]], data: str = "") -> list[list[object]]:
    """As `run`, for several programs, each in a tmpfs of its own that is mounted with `data`."""
    return in_children([partial(_run_in, number, program, data) for number, program in enumerate(programs)], prepare)


def _run_in(number: int, program: list[Call], data: str) -> list[object]:
    return enter(number, data).run(program)


def in_child(place: str, program: list[Call], make_world: Callable[[str], World]) -> list[object]:
    """Run a program in a world that is made in the child."""
    return in_children([lambda: make_world(place).run(program)])[0]


def in_children(
    jobs: list[Callable[[], list[object]]], prepare: Callable[[], object] = lambda: None
) -> list[list[object]]:
    """The results of jobs that run one after the other in one child process.

    Each begins as root, with the same mount namespace, root and working directory, no umask and no descriptors of those before.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            os.umask(0)
            prepare()
            with os.fdopen(writing, "wb") as pipe:
                start = Start()
                for number, job in enumerate(jobs):
                    if number:
                        start.return_to()
                    # A call that blocks must not block the test.
                    signal.alarm(30)
                    pickle.dump(job(), pipe)
        except BaseException:  # noqa: BLE001 (the parent only sees that the child died)
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        results: list[list[object]] = []
        try:
            results += [pickle.load(answers) for _ in jobs]
        except EOFError:
            raise AssertionError(f"the child died of job {len(results)}") from None
        finally:
            os.waitpid(child, 0)
    return results


class Start:
    """The state that a job begins in."""

    descriptors: ClassVar[int]
    """The directory of this process's descriptors, for worlds that see no /proc."""

    def __init__(self) -> None:
        self.namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY)
        self.root = os.open("/", os.O_PATH)
        self.cwd = os.open(".", os.O_PATH)
        Start.descriptors = os.open("/proc/self/fd", os.O_RDONLY)
        self.kept = Start.descriptors + 1

    def return_to(self) -> None:
        os.closerange(self.kept, self.kept + 64)
        check(libc.setns(self.namespace, CLONE_NEWNS))
        os.fchdir(self.root)
        os.chroot(".")
        os.fchdir(self.cwd)


def prepare() -> None:
    """Mount a tmpfs that nobody else sees, and go there."""
    check(libc.unshare(CLONE_NEWNS))
    check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
    check(libc.mount(b"none", os.fsencode(PLACE), b"tmpfs", 0, b"mode=0777"))
    os.chdir(PLACE)


def enter(number: int, data: str = "") -> World:
    """A world whose root is a new tmpfs."""
    os.mkdir(str(number), 0o777)
    check(libc.mount(b"none", str(number).encode(), b"tmpfs", 0, f"mode=0777,{data}".encode()))
    os.chroot(str(number))
    os.chdir("/")
    return World()


class World:
    """The calls, by `os`."""

    def __init__(self) -> None:
        self.files: dict[int, int] = {}
        self.credentials = Credentials()

    def run(self, program: list[Call]) -> list[object]:
        results = [self.attempt(call) for call in program]
        self.credentials.become("root")
        os.chdir("/")
        return [*results, self.tree("/")]

    def attempt(self, call: Call) -> object:
        self.credentials.become(call.who)
        try:
            return getattr(self, call.name)(*call.arguments)
        except OSError as error:
            return f"E{error.errno}"

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
        self.keep(slot, os.open(path, flags, mode))

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

    def utime(self, path: str, atime: int | str, mtime: int | str, follow: bool) -> None:
        check(libc.utimensat(AT_FDCWD, os.fsencode(path), _timespecs(atime, mtime), 0 if follow else 0x100))

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
        position = os.lseek(self.descriptor(slot), offset, whence)
        # Where a listing goes on is not told in the same numbers.
        return position if not stat.S_ISDIR(os.fstat(self.descriptor(slot)).st_mode) else -1

    def ftruncate(self, slot: int, size: int) -> None:
        os.ftruncate(self.descriptor(slot), size)

    def fstat(self, slot: int) -> object:
        return attributes(os.fstat(self.descriptor(slot)))

    def fchmod(self, slot: int, mode: int) -> None:
        os.fchmod(self.descriptor(slot), mode)

    def fchown(self, slot: int, uid: int, gid: int) -> None:
        os.fchown(self.descriptor(slot), uid, gid)

    def futime(self, slot: int, atime: int | str, mtime: int | str) -> None:
        check(libc.futimens(self.descriptor(slot), _timespecs(atime, mtime)))

    def fsetxattr(self, slot: int, name: str, value: bytes, flags: int) -> None:
        os.setxattr(self.descriptor(slot), name, value, flags)

    def fgetxattr(self, slot: int, name: str) -> bytes:
        return os.getxattr(self.descriptor(slot), name)

    def fremovexattr(self, slot: int, name: str) -> None:
        os.removexattr(self.descriptor(slot), name)

    def flistxattr(self, slot: int) -> list[str]:
        return sorted(os.listxattr(self.descriptor(slot)))

    def link_file(self, slot: int, path: str) -> None:
        check(libc.linkat(self.descriptor(slot), b"", AT_FDCWD, os.fsencode(path), AT_EMPTY_PATH))

    def link_opened(self, slot: int, path: str) -> None:
        old = str(self.descriptor(slot)).encode()
        check(libc.linkat(Start.descriptors, old, AT_FDCWD, os.fsencode(path), AT_SYMLINK_FOLLOW))

    def openat(self, slot: int, start: int, path: str, flags: int, mode: int) -> None:
        start_fd = self.start(start, path)
        self.keep(slot, os.open(path, flags, mode, dir_fd=start_fd))

    def reopen(self, slot: int, old: int, flags: int) -> None:
        self.keep(slot, os.open(str(self.descriptor(old)), flags, dir_fd=Start.descriptors))

    def keep(self, slot: int, descriptor: int) -> None:
        self.close(slot)
        self.files[slot] = descriptor

    def start(self, slot: int, path: str) -> int:
        # An absolute path does not look at where it starts.
        return AT_FDCWD if path.startswith("/") else self.descriptor(slot)

    def statat(self, slot: int, path: str, follow: bool) -> object:
        if not path:
            return self.fstat(slot)
        return attributes(os.stat(path, dir_fd=self.start(slot, path), follow_symlinks=follow))

    def readlinkat(self, slot: int, path: str) -> str:
        return os.readlink(path, dir_fd=self.start(slot, path))

    def fchdir(self, slot: int) -> None:
        os.fchdir(self.descriptor(slot))

    def fstatfs(self, slot: int) -> int:
        return os.fstatvfs(self.descriptor(slot)).f_namemax

    def fdlist(self, slot: int) -> list[str]:
        descriptor = self.descriptor(slot)
        os.lseek(descriptor, 0, os.SEEK_SET)
        buffer, names = ctypes.create_string_buffer(32768), list[str]()
        while True:
            length = libc.getdents64(descriptor, buffer, len(buffer))
            check(length)
            if not length:
                return sorted(set(names) - {".", ".."})
            start = 0
            while start < length:
                (size,) = struct.unpack_from("=H", buffer.raw, start + 16)
                names.append(os.fsdecode(buffer.raw[start + 19 : start + size].split(b"\0")[0]))
                start += size

    def copy(self, source: int, start: int | None, target: int, to: int | None, length: int) -> int:
        return os.copy_file_range(self.descriptor(source), self.descriptor(target), length, start, to)

    def statx(self, path: str, mask: int, follow: bool) -> object:
        return told_by_statx(AT_FDCWD, os.fsencode(path), 0 if follow else 0x100, mask)

    def fstatx(self, slot: int, mask: int) -> object:
        return told_by_statx(self.descriptor(slot), b"", AT_EMPTY_PATH, mask)

    def statfs(self, path: str) -> object:
        found = os.statvfs(path)
        return (
            found.f_bsize,
            found.f_blocks,
            found.f_bfree,
            found.f_bavail,
            found.f_files,
            found.f_ffree,
            found.f_namemax,
        )

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


_NANOSECONDS = {"now": (1 << 30) - 1, "omit": (1 << 30) - 2}


def _timespecs(*times: int | str) -> bytes:
    return b"".join(struct.pack("=qq", *((0, _NANOSECONDS[t]) if isinstance(t, str) else (t, 0))) for t in times)


def asked(mask: int) -> int:
    """What of statx is compared: Linux tells more than it is asked for, not always the same."""
    return mask & 0x4FFF | 0x5000


MOUNT_ROOT = 0x2000


def told_by_statx(start: int, path: bytes, flags: int, mask: int) -> object:
    """What both worlds tell: the mask, whether a mount has its root there, and that files were not made long ago."""
    buffer = ctypes.create_string_buffer(256)
    check(libc.statx(start, path, flags, ctypes.c_uint(mask), buffer))
    told, _, attributes, links, uid, gid, mode = struct.unpack_from("=IIQIIIH", buffer.raw)
    made = struct.unpack_from("=q", buffer.raw, 0x50)[0]
    return told & asked(mask), attributes & MOUNT_ROOT, links, uid, gid, mode, made > 10**9


def attributes(info: os.stat_result) -> tuple[object, ...]:
    """What two worlds have in common: no numbers of inodes or devices, and of times only those that were set."""
    times = tuple(ns if abs(ns) < 10**12 else "now" for ns in (info.st_atime_ns, info.st_mtime_ns))
    return (
        *(oct(info.st_mode), info.st_nlink, info.st_uid, info.st_gid, info.st_size),
        *(info.st_blocks, info.st_rdev, times),
    )
