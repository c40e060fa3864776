"""Several threads in one VFS: no call raises anything but what it may, and what is left is coherent."""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.vfs.world import World
from vfs import ROOT, Dentry, OpenOptions
from vfs.fs.tmpfs import TmpfsFilesystem
from vfs.fs.tmpfs.inode import Directory

pytestmark = pytest.mark.property

ROUNDS = 1500


@pytest.fixture
def eager_switching() -> Iterator[None]:
    """Threads take turns as often as the interpreter can let them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def work(world: World, seed: int, unexpected: list[BaseException]) -> None:
    chance = random.Random(seed)
    vfs = world.vfs

    def path() -> str:
        return f"/{chance.choice('abc')}/{chance.choice('xyz')}"

    for _ in range(ROUNDS):
        one, other = world.at(path()), world.at(path())
        calls: list[Callable[[], object]] = [
            partial(vfs.mkdir_at, ROOT, one),
            partial(vfs.unlink_at, ROOT, one),
            partial(vfs.rmdir_at, ROOT, one),
            partial(vfs.rename_at, ROOT, one, other),
            partial(vfs.link_at, ROOT, one, other),
            partial(vfs.stat_at, ROOT, one),
            partial(vfs.listdir_at, ROOT, world.at("/a")),
            partial(write, world, one.path),
        ]
        try:
            chance.choice(calls)()
        except OSError:
            continue
        except BaseException as raised:  # noqa: BLE001 (handed to the test, whose thread must see it)
            unexpected.append(raised)
            return


def write(world: World, path: str) -> None:
    with world.vfs.open_at(ROOT, world.at(path), OpenOptions(os.O_RDWR | os.O_CREAT)) as file:
        file.write(b"x" * 5000)
        file.pread(5000, 0)


@pytest.mark.usefixtures("eager_switching")
def test_threads_leave_one_coherent_tree() -> None:
    world = World()
    for name in "abc":
        world.mkdir(f"/{name}")
    unexpected: list[BaseException] = []
    threads = [threading.Thread(target=work, args=(world, seed, unexpected)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not unexpected
    mount = world.ns.root_mount
    assert (mount.open_files, mount.writers) == (0, 0)
    assert isinstance(mount.fs, TmpfsFilesystem)
    assert mount.fs.inodes == 1 + names_below(mount.root.inode)
    check_cache(mount.root)


def names_below(directory: object) -> int:
    if not isinstance(directory, Directory):
        return 0
    return sum(1 + names_below(inode) for inode in directory.entries.values())


def check_cache(dentry: Dentry) -> None:
    for name, child in dentry.children.items():
        assert not child.dead
        assert dentry.inode.find(name) is child.inode
        check_cache(child)
