"""Open files: closing, listing, devices, access times. Positions and contents are compared with the kernel's."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable

import pytest

from tests.vfs.world import World, raises
from vfs import ROOT, DeviceKind, DeviceNumber, MountFlags, OpenDevice, Registration, SetStat


class Echo(OpenDevice):
    """Gives back what was written, and counts how often it was closed."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = 0

    def read(self, size: int, offset: int) -> bytes:
        return self.written[offset : offset + size]

    def write(self, data: bytes, offset: int) -> int:
        self.written += data
        return len(data)

    def ioctl(self, request: int, argument: object) -> object:
        return request, argument

    def seek(self, offset: int, whence: int, position: int) -> int:
        return 7

    def close(self) -> None:
        self.closed += 1


class EchoDriver:
    def __init__(self) -> None:
        self.device = Echo()

    def open(self, number: DeviceNumber, flags: int) -> OpenDevice:
        return self.device


@pytest.mark.parametrize("kind", DeviceKind)
def test_a_node_opens_the_driver_behind_its_number(world: World, kind: DeviceKind) -> None:
    number, driver = DeviceNumber(240, 3), EchoDriver()
    world.mknod("/node", (0o020000 if kind is DeviceKind.CHARACTER else 0o060000) | 0o600, number.rdev)
    with raises(errno.ENXIO):
        world.open("/node")
    world.vfs.devices.register(Registration(kind, number, driver, "echo"))
    with world.open("/node", os.O_RDWR) as file:
        file.write(b"hello")
        assert file.pread(3, 1) == b"ell"
        assert file.ioctl(5, "x") == (5, "x")
        assert file.seek(0) == file.position == 7
        with raises(errno.ENODEV):
            file.allocate(0, 0, 1)
        assert world.ns.root_mount.writers == 0
    file.close()
    assert driver.device.closed == 1


def test_a_closed_file_does_nothing(world: World) -> None:
    file = world.open("/f", os.O_RDWR | os.O_CREAT)
    file.close()
    calls: list[Callable[[], object]]
    calls = [lambda: file.read(1), lambda: file.write(b""), lambda: file.seek(0), file.sync]
    for call in calls:
        with raises(errno.EBADF):
            call()


def test_o_path_is_a_place_and_no_more(world: World) -> None:
    world.mknod("/f", 0o100000)
    with world.open("/f", os.O_PATH | os.O_RDWR) as file:
        assert file.stat().st_mode == 0o100000
        calls: list[Callable[[], object]] = [
            lambda: file.read(1),
            lambda: file.write(b"x"),
            lambda: file.set_stat(SetStat(mode=0)),
            lambda: file.ioctl(1),
            file.read_directory,
        ]
        for call in calls:
            with raises(errno.EBADF):
                call()


def test_a_listing_is_taken_once_and_again_after_rewinding(world: World) -> None:
    world.mknod("/a")
    with world.open("/", os.O_DIRECTORY) as directory:
        assert [entry.name for entry in directory.read_directory()] == ["a"]
        world.mknod("/b")
        assert directory.read_directory() == []
        directory.seek(0)
        entries = {entry.name: entry for entry in directory.read_directory()}
        assert sorted(entries) == ["a", "b"]
        assert entries["a"].ino == world.stat("/a").st_ino
        assert entries["a"].type == 0o100000


def test_only_directories_are_listed_and_only_drivers_take_requests(world: World) -> None:
    with world.open("/f", os.O_RDWR | os.O_CREAT) as file:
        with raises(errno.ENOTDIR):
            file.read_directory()
        with raises(errno.ENOTTY):
            file.ioctl(1)


def read_after(world: World, path: str, atime_ns: int, flags: int = 0) -> int:
    world.vfs.set_stat_at(ROOT, world.at(path), SetStat(atime_ns=atime_ns, mtime_ns=1))
    with world.open(path, os.O_RDONLY | flags) as file:
        file.read(1)
    return world.stat(path).st_atime_ns


def test_nodiratime_is_about_directories(world: World) -> None:
    world.mkdir("/m")
    world.mount("/m", flags=MountFlags.NODIRATIME)
    world.write("/m/f", b"x")
    world.vfs.set_stat_at(ROOT, world.at("/m"), SetStat(atime_ns=5))
    with world.open("/m", os.O_DIRECTORY) as directory:
        directory.read_directory()
    assert world.stat("/m").st_atime_ns == 5
    assert read_after(world, "/m/f", 5) > 5


def test_access_times_are_kept_as_the_mount_says(world: World) -> None:
    later = time.time_ns() + 10**12
    for name, flags in [
        ("rel", MountFlags(0)),
        ("no", MountFlags.NOATIME),
        ("strict", MountFlags.STRICTATIME),
    ]:
        world.mkdir(f"/{name}")
        world.mount(f"/{name}", flags=flags)
        world.write(f"/{name}/f", b"x")
    assert read_after(world, "/rel/f", 5) > 5
    assert read_after(world, "/rel/f", 5, os.O_NOATIME) == 5
    assert read_after(world, "/rel/f", later) == later
    assert read_after(world, "/no/f", 5) == 5
    assert read_after(world, "/strict/f", later) < later
