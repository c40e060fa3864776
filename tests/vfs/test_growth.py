"""Nothing grows faster than the work: the calls that an operation takes do not depend on how much there is already."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

import pytest

from tests.counting import calls_of
from vfs import (
    ROOT,
    BindOptions,
    MknodOptions,
    MountNamespace,
    OpenOptions,
    PathOperation,
    Propagation,
    UmountOptions,
    VirtualFilesystem,
)
from vfs.fs.tmpfs import TmpfsType
from vfs.mountinfo import mountinfo

FEW, MANY = 10, 1000
REGULAR = MknodOptions(stat.S_IFREG | 0o644)


class World:
    """A tmpfs with so many files in one directory, so many directories in one another, so many mounts."""

    def __init__(self, size: int) -> None:
        self.vfs = VirtualFilesystem()
        self.vfs.register_filesystem_type(TmpfsType())
        self.namespace: MountNamespace = self.vfs.new_mount_namespace(ROOT, "none", "tmpfs")
        self.root = self.namespace.root
        self.size = size
        for name in ("files", "mounts", "peer"):
            self.vfs.mkdir_at(ROOT, self.at(name))
        for number in range(size):
            self.vfs.mknod_at(ROOT, self.at(f"files/{number}"), REGULAR)
            self.vfs.mkdir_at(ROOT, self.at(f"mounts/{number}"))
            self.vfs.mount_at(ROOT, "none", self.at(f"mounts/{number}"), "tmpfs")
        self.vfs.mkdir_at(ROOT, self.at("free"))
        with self.vfs.open_at(ROOT, self.at("long"), OpenOptions(os.O_CREAT | os.O_RDWR)) as file:
            for number in range(size):
                file.pwrite(b"x", number * 8192)
        self.long = self.vfs.open_at(ROOT, self.at("long"), OpenOptions(os.O_RDWR))

    def at(self, path: str) -> PathOperation:
        return PathOperation(self.root, self.root, path)


def create(world: World) -> None:
    world.vfs.open_at(ROOT, world.at("files/new"), OpenOptions(os.O_CREAT)).close()


def look(world: World) -> None:
    world.vfs.stat_at(ROOT, world.at("files/3"))
    with pytest.raises(FileNotFoundError):
        world.vfs.stat_at(ROOT, world.at("files/none"))


def rename(world: World) -> None:
    world.vfs.rename_at(ROOT, world.at("files/3"), world.at("files/moved"))


def unlink(world: World) -> None:
    world.vfs.unlink_at(ROOT, world.at("files/4"))


def mount(world: World) -> None:
    world.vfs.mount_at(ROOT, "none", world.at("free"), "tmpfs")


def umount(world: World) -> None:
    world.vfs.umount_at(ROOT, world.at("mounts/5"), UmountOptions())


def bind(world: World) -> None:
    world.vfs.bind_at(ROOT, world.at("mounts/6"), world.at("free"), BindOptions())


def append(world: World) -> None:
    world.long.pwrite(b"y", world.size * 8192)


def overwrite(world: World) -> None:
    world.long.pwrite(b"y", 8192)


def statfs(world: World) -> None:
    world.vfs.statfs_at(ROOT, world.at("files"))


FLAT = [create, look, rename, unlink, mount, umount, bind, append, overwrite, statfs]


@pytest.mark.parametrize("work", FLAT)
def test_one_call_costs_the_same_among_many(work: Callable[[World], None]) -> None:
    few, many = World(FEW), World(MANY)
    assert calls_of(lambda: work(many)) <= calls_of(lambda: work(few)) + 10
    for world in (few, many):
        world.long.close()


def copy_tree(world: World) -> None:
    world.vfs.bind_at(ROOT, world.at("mounts"), world.at("free"), BindOptions(recursive=True))


def share_tree(world: World) -> None:
    world.vfs.set_propagation_at(ROOT, world.at("/"), Propagation.SHARED, recursive=True)


def tell_mounts(world: World) -> None:
    assert len(mountinfo(world.namespace)) == world.size + 1


def list_names(world: World) -> None:
    with world.vfs.open_at(ROOT, world.at("files"), OpenOptions(os.O_DIRECTORY)) as directory:
        assert len(directory.read_directory()) == world.size


def cut_file(world: World) -> None:
    world.long.truncate(0)


LINEAR = [copy_tree, share_tree, tell_mounts, list_names, cut_file]


@pytest.mark.parametrize("work", LINEAR)
def test_work_on_everything_grows_with_it(work: Callable[[World], None]) -> None:
    few, many = World(FEW), World(MANY)
    assert calls_of(lambda: work(many)) <= calls_of(lambda: work(few)) * 1.2 * MANY / FEW
    for world in (few, many):
        world.long.close()
