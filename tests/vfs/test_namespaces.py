"""Copied and released namespaces, locks of the less privileged, and mounts that are in use (mount_namespaces(7), umount(2))."""

from __future__ import annotations

import errno
import os

import pytest

from tests.vfs.world import USER, World, raises
from vfs import ROOT, BindOptions, MountFlags, MountNamespace, PathOperation, Propagation, UmountOptions, VirtualDentry
from vfs import namespace as namespace_module
from vfs.abi import MNT_DETACH, MNT_EXPIRE, MNT_FORCE
from vfs.mountinfo import mountinfo


@pytest.fixture(autouse=True)
def mounts(world: World) -> None:
    world.mkdir("/a")
    world.mkdir("/b")
    world.mount("/a", "mode=0755")
    world.mkdir("/a/m")


def tags(namespace: MountNamespace) -> dict[str, str]:
    fields = [line.partition(" - ")[0].split(" ", 6) for line in mountinfo(namespace)]
    return {each[4]: each[6] if len(each) > 6 else "" for each in fields}


def at(namespace: MountNamespace, path: str) -> PathOperation:
    return PathOperation(namespace.root, namespace.root, path)


def test_places_are_translated(world: World) -> None:
    place = world.vfs.get_dentry_at(ROOT, world.at("/a/m"))
    copy = world.vfs.copy_mount_namespace(ROOT, world.ns)
    moved = copy.moved(place)
    assert moved == world.vfs.get_dentry_at(ROOT, at(copy.namespace, "/a/m"))
    assert moved.mount is not place.mount
    assert moved.dentry is place.dentry
    detached = world.vfs.clone_mount(ROOT, world.at("/a"))
    elsewhere = VirtualDentry(detached, detached.root)
    assert copy.moved(elsewhere) == elsewhere
    with raises(errno.EPERM):
        world.vfs.copy_mount_namespace(USER, world.ns)


def test_less_privileges_hear_and_do_not_tell(world: World) -> None:
    world.vfs.set_propagation_at(ROOT, world.at("/a"), Propagation.SHARED)
    copy = world.vfs.copy_mount_namespace(ROOT, world.ns, "another").namespace
    assert tags(copy) == {"/": "", "/a": "master:1"}
    world.mount("/a/m")
    assert tags(copy)["/a/m"] == "master:2"
    with raises(errno.EINVAL):
        world.vfs.umount_at(ROOT, at(copy, "/a/m/../../a"))


def test_less_privileges_change_no_lock(world: World) -> None:
    flags = MountFlags.RDONLY | MountFlags.NODEV
    world.vfs.set_mount_flags_at(ROOT, world.at("/a"), flags)
    copy = world.vfs.copy_mount_namespace(ROOT, world.ns, "another").namespace
    there, change = at(copy, "/a"), world.vfs.set_mount_flags_at
    for remove in (MountFlags.RDONLY, MountFlags.NODEV):
        with raises(errno.EPERM):
            change(ROOT, there, MountFlags(0), remove)
    for add in (MountFlags.NOATIME, MountFlags.STRICTATIME, MountFlags.NODIRATIME):
        with raises(errno.EPERM):
            change(ROOT, there, add)
    change(ROOT, there, MountFlags.NOSUID | MountFlags.RELATIME)
    change(ROOT, there, MountFlags(0), MountFlags.NOSUID)
    change(ROOT, world.at("/a"), MountFlags(0), flags)
    same = world.vfs.copy_mount_namespace(ROOT, copy).namespace
    with raises(errno.EPERM):
        change(ROOT, at(same, "/a"), MountFlags(0), MountFlags.RDONLY)


def test_less_privileges_look_beneath_nothing(world: World) -> None:
    world.mount("/a/m")
    copy = world.vfs.copy_mount_namespace(ROOT, world.ns, "another").namespace
    vfs = world.vfs
    with raises(errno.EINVAL):
        vfs.umount_at(ROOT, at(copy, "/a"), UmountOptions(MNT_DETACH))
    with raises(errno.EINVAL):
        vfs.move_mount_at(ROOT, at(copy, "/a"), at(copy, "/b"))
    with raises(errno.EINVAL):
        vfs.bind_at(ROOT, at(copy, "/a"), at(copy, "/b"))
    vfs.bind_at(ROOT, at(copy, "/a"), at(copy, "/b"), BindOptions(recursive=True))
    with raises(errno.EINVAL):
        vfs.umount_at(ROOT, at(copy, "/b/m"))
    with raises(errno.EINVAL):
        vfs.pivot_root_at(ROOT, at(copy, "/a"), at(copy, "/a"))
    vfs.set_propagation_at(ROOT, at(copy, "/b/m"), Propagation.UNBINDABLE)
    before = len(vfs.mountpoints)
    with raises(errno.EPERM):
        vfs.clone_mount(ROOT, at(copy, "/b"), BindOptions(recursive=True))
    assert len(vfs.mountpoints) == before
    root = vfs.get_dentry_at(ROOT, at(copy, "/b"))
    with vfs.open_at(ROOT, at(copy, "/b")):
        vfs.umount_at(ROOT, at(copy, "/b"), UmountOptions(MNT_DETACH))
        inside = vfs.get_dentry_at(ROOT, PathOperation(root, root, "m"))
        assert inside.mount is not root.mount, "what is locked stays on what went"
    assert not root.mount.children


def test_what_is_released_hears_no_more(world: World) -> None:
    world.vfs.set_propagation_at(ROOT, world.at("/a"), Propagation.SHARED)
    copy = world.vfs.copy_mount_namespace(ROOT, world.ns).namespace
    world.write("/file", b"text")
    with world.vfs.open_at(ROOT, at(copy, "/file")) as file:
        world.vfs.release_mount_namespace(copy)
        world.vfs.release_mount_namespace(copy)
        assert file.read() == b"text"
    group = world.vfs.get_dentry_at(ROOT, world.at("/a")).mount.peers
    assert group is not None
    assert len(group.members) == 1
    world.mount("/a/m")
    assert (world.ns.mount_count, copy.mount_count) == (3, 0)
    assert world.ns.root_mount.fs.mounts == 1
    with raises(errno.EINVAL):
        world.vfs.copy_mount_namespace(ROOT, copy)


def test_the_files_of_another_namespace_are_not_to_be_mounted_here(world: World) -> None:
    copy = world.vfs.copy_mount_namespace(ROOT, world.ns).namespace
    other = world.vfs.get_dentry_at(ROOT, at(copy, "/a"))
    there = PathOperation(world.ns.root, other, ".")
    for call in (
        lambda: world.vfs.bind_at(ROOT, there, world.at("/b")),
        lambda: world.vfs.bind_at(ROOT, world.at("/a"), there),
        lambda: world.vfs.mount_at(ROOT, "none", there, "tmpfs"),
        lambda: world.vfs.move_mount_at(ROOT, there, world.at("/b")),
        lambda: world.vfs.umount_at(ROOT, there),
    ):
        with raises(errno.EINVAL):
            call()
    assert (world.ns.mount_count, copy.mount_count) == (2, 2)


def test_a_name_that_goes_leaves_its_mounts_to_who_is_in_them(world: World) -> None:
    copy = world.vfs.copy_mount_namespace(ROOT, world.ns).namespace
    world.vfs.mount_at(ROOT, "none", at(copy, "/b"), "tmpfs")
    world.vfs.mkdir_at(ROOT, at(copy, "/b/in"))
    world.vfs.mount_at(ROOT, "none", at(copy, "/b/in"), "tmpfs")
    with world.vfs.open_at(ROOT, at(copy, "/b")) as held:
        world.vfs.rmdir_at(ROOT, world.at("/b"))
        assert copy.mount_count == 2
        inside = world.vfs.get_dentry_at(ROOT, PathOperation(copy.root, held.location, "in"))
        assert inside.dentry is inside.mount.root
        assert inside.mount.parent is held.location.mount
        assert not inside.mount.fs.vfs.anonymous_devices.allocate() <= inside.mount.fs.minor
    assert inside.mount.fs.mounts == 0
    assert not held.location.mount.children


def test_expiry_takes_two_calls_and_nobody_between(world: World) -> None:
    expire = UmountOptions(MNT_EXPIRE)
    world.stat("/a/m")
    with raises(errno.EAGAIN):
        world.vfs.umount_at(ROOT, world.at("/a"), expire)
    world.stat("/a/m")
    with raises(errno.EAGAIN):
        world.vfs.umount_at(ROOT, world.at("/a"), expire)
    with world.open("/a/m"), raises(errno.EBUSY):
        world.vfs.umount_at(ROOT, world.at("/a"), expire)
    with raises(errno.EAGAIN):
        world.vfs.umount_at(ROOT, world.at("/a"), expire)
    world.stat("/b")
    world.vfs.umount_at(ROOT, world.at("/a"), expire)
    assert tags(world.ns) == {"/": ""}


def test_expiry_goes_with_no_other_flag_and_not_for_a_root(world: World) -> None:
    for flags in (MNT_EXPIRE | MNT_DETACH, MNT_EXPIRE | MNT_FORCE):
        with raises(errno.EINVAL):
            world.vfs.umount_at(ROOT, world.at("/a"), UmountOptions(flags))
    with raises(errno.EINVAL):
        world.vfs.umount_at(ROOT, world.at("/"), UmountOptions(MNT_EXPIRE))


def test_a_held_place_keeps_its_mount(world: World) -> None:
    with world.open("/a/m", os.O_PATH):
        with raises(errno.EBUSY):
            world.vfs.umount_at(ROOT, world.at("/a"))
        root = world.vfs.get_dentry_at(ROOT, world.at("/a"))
    with raises(errno.EBUSY):
        world.vfs.umount_at(ROOT, PathOperation(world.ns.root, root, "."))
    world.vfs.umount_at(ROOT, world.at("/a"))


def test_mounting_takes_the_capability(world: World) -> None:
    vfs, a, b = world.vfs, world.at("/a"), world.at("/b")
    detached = vfs.clone_mount(ROOT, a)
    for call in (
        lambda: vfs.mount_at(USER, "none", b, "tmpfs"),
        lambda: vfs.mount_disconnected(USER, "none", "tmpfs"),
        lambda: vfs.connect_mount_at(USER, detached, b),
        lambda: vfs.clone_mount(USER, a),
        lambda: vfs.bind_at(USER, a, b),
        lambda: vfs.move_mount_at(USER, a, b),
        lambda: vfs.umount_at(USER, a),
        lambda: vfs.set_propagation_at(USER, a, Propagation.SHARED),
        lambda: vfs.set_mount_flags_at(USER, a, MountFlags.RDONLY),
    ):
        with raises(errno.EPERM):
            call()
    with raises(errno.ENOENT):
        vfs.mount_at(USER, "none", world.at("/missing"), "nosuchtype")


def test_the_limit_leaves_nothing_of_a_recursive_bind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.mount("/a/m")
    world.vfs.set_propagation_at(ROOT, world.at("/"), Propagation.SHARED)
    copy = world.vfs.copy_mount_namespace(ROOT, world.ns).namespace
    fs = world.ns.root_mount.fs
    before = mountinfo(world.ns), mountinfo(copy), fs.mounts, len(world.vfs.mountpoints)
    monkeypatch.setattr(namespace_module, "MOUNT_MAX", 4)
    with raises(errno.ENOSPC):
        world.vfs.bind_at(ROOT, world.at("/a"), world.at("/b"), BindOptions(recursive=True))
    assert (mountinfo(world.ns), mountinfo(copy), fs.mounts, len(world.vfs.mountpoints)) == before
    monkeypatch.setattr(namespace_module, "MOUNT_MAX", 5)
    world.vfs.bind_at(ROOT, world.at("/a"), world.at("/b"), BindOptions(recursive=True))
    assert (world.ns.mount_count, copy.mount_count) == (5, 5)
