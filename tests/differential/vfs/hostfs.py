"""The world of a directory of the machine that is reached through a hostfs, and changed by others meanwhile."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections.abc import Callable
from typing import NamedTuple

from devproxy.linux.host_calls import MachineCalls
from tests.differential.vfs import kernel, simulated
from tests.differential.vfs import recipes as st
from tests.differential.vfs.programs import NAMES, Call
from vfs import ROOT, MountFlags, MountNamespace, MountOptions, VirtualFilesystem
from vfs.fs.hostfs import HostfsOptions, HostfsType

_PLACES = st.sampled_from([*NAMES, "a/b", "a/c", "b/a", "a/d", "a/b/c"])
_CHANGES = st.sampled_from(
    ["mkdir", "rmdir", "unlink", "write", "write", "rename", "rename", "chmod", "utime", "symlink"]
)
OUTSIDE = st.builds(Call, st.just("outside"), st.tuples(_CHANGES, _PLACES, _PLACES))
"""What somebody else does to the tree, in no call of whose a link is followed."""

_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
_NEW = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK


class _Place(NamedTuple):
    directory: int
    name: str


def change(root: int, what: str, path: str, other: str) -> None:
    """Change a tree of the machine directly."""
    place = _parent(root, path)
    fd, name = place
    try:
        if what == "mkdir":
            os.mkdir(name, 0o777, dir_fd=fd)
        elif what == "rmdir":
            os.rmdir(name, dir_fd=fd)
        elif what == "unlink":
            os.unlink(name, dir_fd=fd)
        elif what == "symlink":
            os.symlink(other, name, dir_fd=fd)
        elif what == "utime":
            os.utime(name, (5, 5), dir_fd=fd, follow_symlinks=False)
        elif what == "rename":
            _rename(place, _parent(root, other))
        else:
            _open_and(what, place)
    finally:
        os.close(fd)


def _rename(old: _Place, new: _Place) -> None:
    try:
        os.rename(old.name, new.name, src_dir_fd=old.directory, dst_dir_fd=new.directory)
    finally:
        os.close(new.directory)


def _open_and(what: str, place: _Place) -> None:
    flags = _NEW if what == "write" else os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    fd = os.open(place.name, flags, 0o666, dir_fd=place.directory)
    try:
        if what == "write":
            os.write(fd, b"outside")
        else:
            os.fchmod(fd, 0o750)
    finally:
        os.close(fd)


def _parent(root: int, path: str) -> _Place:
    *steps, name = path.split("/")
    fd = os.dup(root)
    for step in steps:
        try:
            below = os.open(step, _STEP, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return _Place(fd, name)


class KernelWorld(kernel.World):
    """Both sides are the kernel."""

    def outside(self, what: str, path: str, other: str) -> None:
        root = os.open("/", os.O_PATH)
        try:
            change(root, what, path, other)
        finally:
            os.close(root)


class HostfsWorld(simulated.World):
    """A new directory of the machine, through a hostfs."""

    def __init__(self, *, exclusive: bool, with_calls: bool) -> None:
        super().__init__(MountFlags(0))
        self.place = tempfile.mkdtemp(dir=kernel.PLACE)
        os.chmod(self.place, 0o777)
        self.vfs = VirtualFilesystem()
        self.vfs.register_filesystem_type(HostfsType())
        self.directory = os.open(self.place, os.O_PATH)
        calls = MachineCalls() if with_calls else None
        internal = HostfsOptions(self.directory, writable=True, exclusive=exclusive, devices=True, calls=calls)
        options = MountOptions(internal=internal)
        self.namespace: MountNamespace = self.vfs.new_mount_namespace(ROOT, self.place, "hostfs", options)
        self.root = self.cwd = self.namespace.root

    def outside(self, what: str, path: str, other: str) -> None:
        change(self.directory, what, path, other)

    def end(self) -> None:
        for slot in list(self.files):
            self.close(slot)
        self.vfs.release_mount_namespace(self.namespace)
        os.close(self.directory)
        shutil.rmtree(self.place)


def run(program: list[Call], *, exclusive: bool = False, with_calls: bool = True) -> list[object]:
    """The result of each call, and the tree that is left."""
    umask = os.umask(0)
    try:
        world = HostfsWorld(exclusive=exclusive, with_calls=with_calls)
        try:
            return world.run(program)
        finally:
            world.end()
    finally:
        os.umask(umask)


def run_kernel(programs: list[list[Call]]) -> list[list[object]]:
    """The same, with all calls made directly."""
    jobs: list[Callable[[], list[object]]] = [
        functools.partial(_run, number, program) for number, program in enumerate(programs)
    ]
    return kernel.in_children(jobs, kernel.prepare)


def _run(number: int, program: list[Call]) -> list[object]:
    kernel.enter(number)
    return KernelWorld().run(program)
