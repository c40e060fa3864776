"""A VFS with cgroup hierarchies in it, and short names."""

from __future__ import annotations

import errno
import os

from tests.vfs.world import World
from vfs import ROOT, Credentials, OpenOptions
from vfs.fs.cgroupfs import Cgroup2Type, CgroupType
from vfs.options import MountOptions


def new_world() -> World:
    world = World()
    world.vfs.register_filesystem_type(CgroupType())
    world.vfs.register_filesystem_type(Cgroup2Type())
    return world


def mount(world: World, path: str, fstype: str, data: str = "") -> None:
    world.mkdir(path)
    world.vfs.mount_at(ROOT, "none", world.at(path), fstype, MountOptions(data=data))


def write(world: World, path: str, text: str, creds: Credentials = ROOT) -> str:
    """ "ok", or the name of the errno; as `echo -n TEXT > PATH`, the file being there."""
    try:
        with world.vfs.open_at(creds, world.at(path), OpenOptions(os.O_WRONLY)) as file:
            assert file.write(text.encode()) == len(text)
    except OSError as problem:
        return errno.errorcode[problem.errno or 0]
    return "ok"


def kernel_write(path: str, text: str) -> str:
    """The same on the machine."""
    try:
        descriptor = os.open(path, os.O_WRONLY)
        try:
            assert os.write(descriptor, text.encode()) == len(text)
        finally:
            os.close(descriptor)
    except OSError as problem:
        return errno.errorcode[problem.errno or 0]
    return "ok"
