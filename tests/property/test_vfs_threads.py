"""Several threads in one VFS: no call raises anything but what it may, none waits for ever, and what is left is coherent."""

from __future__ import annotations

import faulthandler
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.differential.vfs import operations
from tests.property import coherence
from tests.property.locks import Order
from tests.vfs.world import World
from vfs import ROOT, BindOptions, MountNamespace, OpenOptions, PathOperation, Propagation, SetStat, UmountOptions
from vfs.abi import MNT_DETACH
from vfs.mountinfo import mountinfo

pytestmark = pytest.mark.property

ROUNDS = 1200 if operations.WANTED <= 100_000 else 20_000
THREADS = 4
PATIENCE = 120
"""Seconds after which threads that still run have locked each other out; the stacks of all are shown."""


@pytest.fixture
def eager_switching() -> Iterator[None]:
    """Threads take turns as often as the interpreter can let them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    faulthandler.dump_traceback_later(PATIENCE)
    yield
    faulthandler.cancel_dump_traceback_later()
    sys.setswitchinterval(before)


class Worker:
    """Random calls on few names in both namespaces, so that threads meet."""

    def __init__(self, world: World, namespaces: list[MountNamespace], seed: int) -> None:
        self.world = world
        self.vfs = world.vfs
        self.namespaces = namespaces
        self.chance = random.Random(seed)
        self.unexpected: BaseException | None = None

    def at(self) -> PathOperation:
        root = self.chance.choice(self.namespaces).root
        depth = self.chance.choice((1, 2, 2, 3))
        names = [self.chance.choice("abc"), self.chance.choice(("x", "y", "z", "..", "l")), self.chance.choice("xyz")]
        return PathOperation(root, root, "/" + "/".join(names[:depth]))

    def names(self, one: PathOperation, other: PathOperation) -> list[Callable[[], object]]:
        vfs = self.vfs
        return [
            partial(vfs.mkdir_at, ROOT, one),
            partial(vfs.unlink_at, ROOT, one),
            partial(vfs.rmdir_at, ROOT, one),
            partial(vfs.rename_at, ROOT, one, other),
            partial(vfs.link_at, ROOT, one, other),
            partial(vfs.symlink_at, ROOT, one, self.chance.choice(("../a/x", "x", "/b"))),
            partial(vfs.set_stat_at, ROOT, one, SetStat(mode=self.chance.choice((0o700, 0o755)))),
            partial(self.write, one),
            partial(self.read, one),
        ]

    def looks(self, one: PathOperation) -> list[Callable[[], object]]:
        vfs = self.vfs
        return [
            partial(vfs.stat_at, ROOT, one),
            partial(vfs.stat_at, ROOT, one),
            partial(vfs.listdir_at, ROOT, one),
            partial(vfs.readlink_at, ROOT, one),
            partial(vfs.access_at, ROOT, one, 4),
            partial(self.list_slowly, one),
            partial(mountinfo, self.chance.choice(self.namespaces)),
            partial(coherence.check, vfs, self.namespaces),
        ]

    def mounts(self, one: PathOperation, other: PathOperation) -> list[Callable[[], object]]:
        vfs = self.vfs
        if sum(namespace.mount_count for namespace in self.namespaces) > 40:
            return [partial(vfs.umount_at, ROOT, one, UmountOptions(MNT_DETACH))]
        return [
            partial(vfs.mount_at, ROOT, "none", one, "tmpfs"),
            partial(vfs.bind_at, ROOT, one, other, BindOptions(recursive=self.chance.random() < 0.3)),
            partial(vfs.move_mount_at, ROOT, one, other),
            partial(vfs.umount_at, ROOT, one),
            partial(vfs.umount_at, ROOT, one, UmountOptions(MNT_DETACH)),
            partial(vfs.set_propagation_at, ROOT, one, self.chance.choice(list(Propagation))),
            partial(self.come_and_go),
        ]

    def write(self, op: PathOperation) -> None:
        with self.vfs.open_at(ROOT, op, OpenOptions(os.O_RDWR | os.O_CREAT)) as file:
            file.write(b"x" * self.chance.choice((10, 5000)))
            file.pread(5000, 0)
            file.truncate(self.chance.choice((0, 4096)))

    def read(self, op: PathOperation) -> None:
        with self.vfs.open_at(ROOT, op) as file:
            file.read()
            file.stat()

    def list_slowly(self, op: PathOperation) -> None:
        with self.vfs.open_at(ROOT, op, OpenOptions(os.O_RDONLY | os.O_DIRECTORY)) as directory:
            assert all(entry.name for entry in directory.read_directory())

    def come_and_go(self) -> None:
        copy = self.vfs.copy_mount_namespace(ROOT, self.chance.choice(self.namespaces))
        self.vfs.release_mount_namespace(copy.namespace)

    def run(self, *, mounting: bool) -> None:
        for _ in range(ROUNDS):
            one, other = self.at(), self.at()
            calls = [*self.names(one, other), *self.looks(one), *(self.mounts(one, other) if mounting else ())]
            try:
                self.chance.choice(calls)()
            except OSError:
                continue
            except BaseException as raised:  # noqa: BLE001 (handed to the test, whose thread must see it)
                self.unexpected = raised
                return


@pytest.mark.usefixtures("eager_switching")
@pytest.mark.parametrize("mounting", [False, True])
def test_threads_leave_one_coherent_world(monkeypatch: pytest.MonkeyPatch, *, mounting: bool) -> None:
    order = Order()
    with order.watching(monkeypatch):
        world = World()
    for name in "abc":
        world.mkdir(f"/{name}")
    world.vfs.set_propagation_at(ROOT, world.at("/"), Propagation.SHARED)
    namespaces = [world.ns, world.vfs.copy_mount_namespace(ROOT, world.ns).namespace]
    workers = [Worker(world, namespaces, seed) for seed in range(THREADS)]
    threads = [threading.Thread(target=partial(each.run, mounting=mounting), daemon=True) for each in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads), "threads that wait for each other"
    for worker in workers:
        if worker.unexpected is not None:
            raise worker.unexpected
    coherence.check(world.vfs, namespaces, closed=True)
    order.check()
    assert any(name.startswith("vfs.virtual_filesystem:") for name in order.taken)
