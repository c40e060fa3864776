"""The tree of sysfs: what every kernel has (S81), and what it is given."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from tests.vfs.world import World, raises
from vfs.credentials import ROOT
from vfs.fs.static import Synthetic
from vfs.fs.sysfs import SysfsTree, SysfsType

FILE = Synthetic(stat.S_IFREG | 0o444, data=b"0x1ae0\n")
LINK = Synthetic(stat.S_IFLNK | 0o777, target="../../devices/x")
TREE: SysfsTree = (
    ("devices/x/vendor", FILE),
    ("class/accel/x", LINK),
    ("devices/system/cpu/cpu0", Synthetic(stat.S_IFDIR)),
)


def mounted(tree: SysfsTree = TREE) -> World:
    world = World()
    world.vfs.register_filesystem_type(SysfsType(tree))
    world.mkdir("/sys")
    world.vfs.mount_at(ROOT, "none", world.at("/sys"), "sysfs")
    return world


@pytest.mark.rows("S81", oracle="specification")
def test_s81_the_directories_of_every_kernel() -> None:
    world = mounted(())
    assert world.listdir("/sys") == sorted("block bus class dev devices firmware fs kernel module power".split())  # noqa: SIM905
    for path in ("/sys/class/net", "/sys/class/power_supply", "/sys/devices/system/cpu", "/sys/fs/cgroup"):
        assert world.listdir(path) == []
        assert world.stat(path).st_mode == stat.S_IFDIR | 0o755


@pytest.mark.root
def test_the_running_kernel_refuses_in_the_same_words() -> None:
    for path, flags in (
        ("/sys/devices/system/cpu/online", os.O_WRONLY),
        ("/sys/devproxy-test", os.O_WRONLY | os.O_CREAT),
    ):
        with raises(errno.EACCES):
            os.open(path, flags)
    with raises(errno.EPERM):
        os.mkdir("/sys/devproxy-test")


@pytest.mark.root
def test_the_running_kernel_has_them_too() -> None:
    assert set(mounted(()).listdir("/sys")) <= set(os.listdir("/sys"))


def test_files_are_read_and_links_followed() -> None:
    world = mounted()
    assert world.read("/sys/class/accel/x/vendor") == b"0x1ae0\n"
    found = world.stat("/sys/devices/x/vendor")
    assert (found.st_mode, found.st_size) == (stat.S_IFREG | 0o444, 7)
    with world.open("/sys/devices/x/vendor") as file:
        assert (file.read(2), file.read(2), file.read(9), file.read(9)) == (b"0x", b"1a", b"e0\n", b"")
    assert world.listdir("/sys/devices/system/cpu") == ["cpu0"]


def test_nothing_can_be_written_or_made() -> None:
    world = mounted()
    with raises(errno.EACCES):
        world.open("/sys/devices/x/vendor", os.O_WRONLY)
    with raises(errno.EACCES):
        world.open("/sys/devices/x/new", os.O_WRONLY | os.O_CREAT)
    with raises(errno.EPERM):
        world.mkdir("/sys/devices/x/new")


def test_mounts_share_nothing_but_what_they_are_given() -> None:
    world = mounted()
    world.mkdir("/two")
    world.vfs.mount_at(ROOT, "none", world.at("/two"), "sysfs")
    assert world.stat("/sys/devices/x").st_dev != world.stat("/two/devices/x").st_dev


@pytest.mark.parametrize(
    ("tree", "number"),
    [
        ((("a", FILE), ("a", LINK)), errno.EEXIST),
        ((("class", FILE),), errno.EEXIST),
        ((("a", FILE), ("a/b", FILE)), errno.ENOTDIR),
        ((("a", LINK), ("a/b", FILE)), errno.ENOTDIR),
    ],
)
def test_a_tree_with_two_things_at_one_path_is_refused(tree: SysfsTree, number: int) -> None:
    with raises(number):
        mounted(tree)
