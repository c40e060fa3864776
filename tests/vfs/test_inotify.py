"""Watches where the kernel's answers are not compared: mounts, several instances, full queues, closing, other types."""

from __future__ import annotations

import errno
import os

from tests.counting import calls_of
from tests.vfs.world import USER, World, raises
from vfs import ROOT, Inotify, InotifyEvent, MountOptions, PathOperation, UmountOptions, VirtualDentry
from vfs.abi import IN_ALL_EVENTS, IN_CREATE, IN_DELETE, IN_IGNORED, IN_ISDIR, IN_MODIFY, IN_Q_OVERFLOW, IN_UNMOUNT
from vfs.fs.overlay import OverlayOptions, OverlayType


def test_an_event_is_a_record_and_bytes(world: World) -> None:
    instance = Inotify(world.vfs)
    watch = instance.add_watch(ROOT, world.at("/"), IN_CREATE)
    world.mkdir("/d")
    (event,) = instance.read_events()
    assert event == InotifyEvent(watch, IN_CREATE | IN_ISDIR, 0, "d")
    assert event.pack() == b"\1\0\0\0\0\1\0\x40\0\0\0\0\x10\0\0\0d" + b"\0" * 15
    with raises(errno.EAGAIN):
        instance.read(100)
    instance.close()


def test_a_full_queue_says_so_once(world: World) -> None:
    instance = Inotify(world.vfs, max_queued_events=2)
    watch = instance.add_watch(ROOT, world.at("/"), IN_CREATE)
    for name in "abcd":
        world.mkdir(f"/{name}")
    made = [InotifyEvent(watch, IN_CREATE | IN_ISDIR, 0, name) for name in "ab"]
    assert instance.read_events() == [*made, InotifyEvent(-1, IN_Q_OVERFLOW)]
    world.mkdir("/e")
    assert [event.name for event in instance.read_events()] == ["e"]
    instance.close()


def test_the_last_umount_ends_a_watch(world: World) -> None:
    instance = Inotify(world.vfs)
    world.mkdir("/m")
    world.mount("/m")
    watch = instance.add_watch(ROOT, world.at("/m"), IN_ALL_EVENTS)
    world.vfs.umount_at(ROOT, world.at("/m"), UmountOptions())
    assert instance.read_events() == [InotifyEvent(watch, IN_UNMOUNT), InotifyEvent(watch, IN_IGNORED)]
    with raises(errno.EINVAL):
        instance.rm_watch(watch)
    instance.close()


def test_instances_know_nothing_of_each_other(world: World) -> None:
    one, other = Inotify(world.vfs), Inotify(world.vfs)
    assert one.add_watch(ROOT, world.at("/"), IN_CREATE) == other.add_watch(ROOT, world.at("/"), IN_DELETE) == 1
    world.mkdir("/d")
    assert len(one.read_events()) == 1
    assert not other.read_events()
    one.close()
    with raises(errno.EBADF):
        one.add_watch(ROOT, world.at("/"), IN_CREATE)
    world.vfs.rmdir_at(ROOT, world.at("/d"))
    assert len(other.read_events()) == 1
    other.close()
    assert not world.vfs.watches.instances


def test_only_who_may_read_may_watch(world: World) -> None:
    world.mkdir("/d", 0o711)
    instance = Inotify(world.vfs)
    with raises(errno.EACCES):
        instance.add_watch(USER, world.at("/d"), IN_CREATE)
    instance.close()


def test_an_overlay_tells_of_its_own_files(world: World) -> None:
    vfs = world.vfs
    vfs.register_filesystem_type(OverlayType())
    layers = []
    for _ in range(2):
        layer = vfs.mount_disconnected(ROOT, "none", "tmpfs")
        layers.append(VirtualDentry(layer, layer.root))
    lower = layers[1]
    vfs.mkdir_all_at(ROOT, PathOperation(lower, lower, "/d"))
    world.mkdir("/o")
    options = MountOptions(internal=OverlayOptions(layers[0], (lower,)))
    vfs.mount_at(ROOT, "none", world.at("/o"), "overlay", options)
    instance = Inotify(vfs)
    watch = instance.add_watch(ROOT, world.at("/o/d"), IN_CREATE | IN_MODIFY | IN_DELETE)
    world.write("/o/d/f", b"x")
    vfs.unlink_at(ROOT, world.at("/o/d/f"))
    assert instance.read_events() == [
        InotifyEvent(watch, IN_CREATE, 0, "f"),
        InotifyEvent(watch, IN_MODIFY, 0, "f"),
        InotifyEvent(watch, IN_DELETE, 0, "f"),
    ]
    instance.close()


def test_nobody_who_watches_costs_no_call(world: World) -> None:
    world.write("/f", b"x")

    def work() -> None:
        with world.open("/f", os.O_RDWR) as file:
            file.pread(1, 0)
            file.pwrite(b"y", 0)

    work()
    quiet = calls_of(work)
    instance = Inotify(world.vfs)
    assert calls_of(work) > quiet
    instance.close()
    assert calls_of(work) == quiet
