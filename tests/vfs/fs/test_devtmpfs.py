"""devtmpfs: what /dev holds (S5 to S8)."""

from __future__ import annotations

import errno
import os

import pytest

from tests.vfs.world import World, raises
from vfs import ROOT, DeviceKind, DeviceNumber, Mount, MountOptions, OpenDevice, Registration
from vfs.fs.devtmpfs import DIRECTORIES, LINKS, Accessor, DevtmpfsOptions
from vfs.mountinfo import mountinfo

CHARACTER, BLOCK = DeviceKind.CHARACTER, DeviceKind.BLOCK


class Silent:
    def open(self, number: DeviceNumber, flags: int) -> OpenDevice:
        return OpenDevice()


def mount_dev(world: World, options: MountOptions = MountOptions()) -> Mount:  # noqa: B008 (immutable)
    world.mkdir("/dev")
    return world.vfs.mount_at(ROOT, "none", world.at("/dev"), "devtmpfs", options)


def empty_dev(world: World) -> Accessor:
    mount_dev(world, MountOptions(internal=DevtmpfsOptions(populate=False)))
    return Accessor(world.vfs, ROOT, world.vfs.get_dentry_at(ROOT, world.at("/dev")))


@pytest.mark.rows("S4", "S5", "S6", "H1", oracle="specification")
def test_a_new_instance_is_ready_for_user_space(world: World) -> None:
    devices = world.vfs.devices
    devices.register(Registration(CHARACTER, DeviceNumber(1, 3), Silent(), "mem", "null"))
    devices.register(Registration(CHARACTER, DeviceNumber(10, 200), Silent(), "misc", "net/tun", 0o600))
    devices.register(Registration(CHARACTER, DeviceNumber(240, 0), Silent(), "hidden"))
    mount_dev(world)
    assert world.stat("/dev").st_mode == 0o040755
    for name, target in LINKS:
        assert world.vfs.readlink_at(ROOT, world.at(f"/dev/{name}")) == target
    for name in DIRECTORIES:
        assert world.stat(f"/dev/{name}").st_mode == 0o040755
    null, tun = world.stat("/dev/null"), world.stat("/dev/net/tun")
    assert (null.st_mode, null.st_rdev) == (0o020666, os.makedev(1, 3))
    assert (tun.st_mode, tun.st_rdev) == (0o020600, os.makedev(10, 200))
    assert world.stat("/dev/net").st_mode == 0o040755
    assert world.listdir("/dev/char") == ["10:200", "1:3"]
    assert world.stat("/dev/char/10:200") == tun
    expected = {name for name, _ in LINKS} | set(DIRECTORIES) | {"null", "net", "char"}
    assert set(world.listdir("/dev")) == expected


@pytest.mark.rows("S8", oracle="specification")
def test_each_mount_is_its_own(world: World) -> None:
    mount_dev(world)
    world.mknod("/dev/mine")
    world.vfs.mount_at(ROOT, "none", world.at("/dev"), "devtmpfs")
    assert "mine" not in world.listdir("/dev")


def test_options_are_those_of_a_tmpfs(world: World) -> None:
    mount_dev(world, MountOptions(data="mode=0700,size=4k"))
    assert world.stat("/dev").st_mode == 0o040700
    assert mountinfo(world.ns)[1].split(" - ")[1] == "devtmpfs none rw,mode=0700,size=4k"


@pytest.mark.parametrize("options", [MountOptions(data="foo"), MountOptions(internal=object())])
def test_what_is_no_option_is_refused(world: World, options: MountOptions) -> None:
    with raises(errno.EINVAL):
        mount_dev(world, options)


def test_an_instance_that_cannot_be_filled_leaves_nothing(world: World) -> None:
    world.mkdir("/m")
    with raises(errno.ENOSPC):
        world.vfs.mount_at(ROOT, "none", world.at("/m"), "devtmpfs", MountOptions(data="nr_inodes=3"))
    assert world.mount("/m").fs.minor == world.ns.root_mount.fs.minor + 1


@pytest.mark.rows("S7", "H2", oracle="specification")
def test_a_device_file_is_made_once_with_its_parents_and_its_owner(world: World) -> None:
    accessor, number = empty_dev(world), DeviceNumber(195, 0)
    accessor.create_device_file("a/b/gpu", CHARACTER, number, 0o640, uid=7, gid=8)
    info = world.stat("/dev/a/b/gpu")
    assert (info.st_mode, info.st_uid, info.st_gid, info.st_rdev) == (0o020640, 7, 8, number.rdev)
    assert world.stat("/dev/a").st_mode == 0o040755
    with raises(errno.EEXIST):
        accessor.create_device_file("a/b/gpu", CHARACTER, number)
    with raises(errno.ENOTDIR):
        accessor.create_device_file("a/b/gpu/x", CHARACTER, number)


@pytest.mark.rows("H1", oracle="specification")
def test_a_number_leads_to_the_node_that_was_first(world: World) -> None:
    accessor = empty_dev(world)
    accessor.create_device_file("first", BLOCK, DeviceNumber(8, 0))
    accessor.create_device_file("second", BLOCK, DeviceNumber(8, 0))
    accessor.create_device_file("third", CHARACTER, DeviceNumber(8, 0))
    assert world.vfs.readlink_at(ROOT, world.at("/dev/block/8:0")) == "../first"
    assert world.vfs.readlink_at(ROOT, world.at("/dev/char/8:0")) == "../third"


def test_user_space_is_set_up_once(world: World) -> None:
    accessor = empty_dev(world)
    assert world.listdir("/dev") == []
    accessor.user_space_init()
    with raises(errno.EEXIST):
        accessor.user_space_init()
