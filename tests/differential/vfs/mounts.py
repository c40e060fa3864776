"""The two worlds with mounts: the kernel's in a mount namespace of its own, whose root is a new tmpfs."""

from __future__ import annotations

import os
import re
import tempfile
from functools import partial
from typing import TYPE_CHECKING

from tests.differential.vfs import kernel, simulated
from tests.differential.vfs.kernel import CLONE_NEWNS, MS_PRIVATE, MS_REC, check, libc
from vfs import BindOptions, MountFlags, MountOptions, UmountOptions
from vfs.mountinfo import mountinfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.differential.vfs.programs import Call

MS_BIND = 0x1000
MNT_DETACH = 2
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}[os.uname().machine]

FLAGS = {1: MountFlags.RDONLY, 4: MountFlags.NODEV, 8: MountFlags.NOEXEC, 256: MountFlags.NOSYMFOLLOW}


class KernelWorld(kernel.World):
    """The calls of mount(2), in a namespace of one's own."""

    def __init__(self, place: str) -> None:
        super().__init__()
        check(libc.unshare(CLONE_NEWNS))
        check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
        self.process = os.open("/proc/thread-self", os.O_PATH)
        check(libc.mount(b"none", os.fsencode(place), b"tmpfs", 0, b"mode=0777"))
        os.chdir(place)
        check(libc.syscall(SYS_PIVOT_ROOT, b".", b"."))
        check(libc.umount2(b".", MNT_DETACH))
        os.chdir("/")

    def mount(self, path: str, flags: int) -> None:
        check(libc.mount(b"none", os.fsencode(path), b"tmpfs", flags, b"mode=0777"))

    def bind(self, source: str, target: str, recursive: bool) -> None:
        check(libc.mount(os.fsencode(source), os.fsencode(target), None, MS_BIND | (MS_REC if recursive else 0), None))

    def umount(self, path: str, flags: int) -> None:
        if os.path.samestat(os.stat(path), os.stat("/")):
            # Linux makes the root read-only instead; ours says EINVAL.
            return
        check(libc.umount2(os.fsencode(path), flags))

    def tree(self, path: str) -> list[object]:
        descriptor = os.open("mountinfo", os.O_RDONLY, dir_fd=self.process)
        with os.fdopen(descriptor) as file:
            lines = file.read().splitlines()
        return [*table(lines), *super().tree(path)]


class SimulatedWorld(simulated.World):
    """The same calls on ours."""

    def mount(self, path: str, flags: int) -> None:
        options = MountOptions(FLAGS.get(flags, MountFlags(0)), "mode=0777")
        self.vfs.mount_at(self.creds, "none", self.at(path), "tmpfs", options)

    def bind(self, source: str, target: str, recursive: bool) -> None:
        self.vfs.bind_at(self.creds, self.at(source), self.at(target), BindOptions(recursive=recursive))

    def umount(self, path: str, flags: int) -> None:
        there, root = (self.vfs.stat_at(self.creds, self.at(each)) for each in (path, "/"))
        if os.path.samestat(there, root):
            return
        self.vfs.umount_at(self.creds, self.at(path), UmountOptions(flags))

    def tree(self, path: str) -> list[object]:
        namespace = self.root.mount.namespace
        assert namespace is not None
        assert namespace.mount_count == len(list(namespace))
        return [*table(mountinfo(namespace)), *super().tree(path)]


def table(lines: list[str]) -> list[object]:
    """Which part of which file system is where, with which flags, in the order of the table; devices by first appearance."""
    devices: dict[str, int] = {}
    rows: list[object] = []
    for line in lines:
        _, _, device, root, point, options, *_ = line.split()
        flags = sorted(set(re.split(",", options)) - {"relatime"})
        rows.append((devices.setdefault(device, len(devices)), root, point, flags))
    return sorted(rows, key=repr)


def run_kernel(
    programs: list[list[Call]], make_world: Callable[[str], kernel.World] = KernelWorld
) -> list[list[object]]:
    """See `kernel.run_all`."""
    with tempfile.TemporaryDirectory() as place:
        return kernel.in_children([partial(_run_in, make_world, place, program) for program in programs])


def _run_in(make_world: Callable[[str], kernel.World], place: str, program: list[Call]) -> list[object]:
    return make_world(place).run(program)


def run_simulated(program: list[Call]) -> list[object]:
    """See `simulated.run`."""
    return SimulatedWorld(MountFlags(0)).run(program)
