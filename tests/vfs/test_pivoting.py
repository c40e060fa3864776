"""pivot_root: what it refuses, in the kernel's order, and where everybody is afterwards."""

from __future__ import annotations

import errno

import pytest

from tests.vfs.world import USER, World, raises
from vfs import ROOT, PathOperation, Propagation, VirtualDentry
from vfs.abi import MNT_DETACH
from vfs.mountinfo import mountinfo
from vfs.options import UmountOptions
from vfs.pivoting import Pivot


@pytest.fixture(autouse=True)
def mounts(world: World) -> None:
    """/new is a mount with the directory /new/old in it, /plain is none."""
    world.mkdir("/plain")
    world.mkdir("/new")
    world.mount("/new", "mode=0755")
    world.mkdir("/new/old")


def pivot(world: World, new: str, old: str, start: VirtualDentry | None = None) -> Pivot:
    root = world.ns.root
    place = start or root
    return world.vfs.pivot_root_at(ROOT, PathOperation(root, place, new), PathOperation(root, place, old))


def points(world: World) -> list[str]:
    return [line.split()[4] for line in mountinfo(world.ns)]


def test_the_new_root_takes_the_place_of_the_old_one(world: World) -> None:
    old, plain = world.ns.root, world.vfs.get_dentry_at(ROOT, world.at("/plain"))
    moved = pivot(world, "/new", "/new/old")
    assert moved.moved(old) == world.ns.root
    assert moved.moved(plain) == plain
    assert sorted(points(world)) == ["/", "/old"]
    assert world.listdir("/old") == ["new", "plain"]
    assert world.vfs.path_from(world.ns.root, plain) == "/old/plain"
    assert world.ns.mount_count == 2
    world.vfs.umount_at(ROOT, world.at("/old"), UmountOptions(MNT_DETACH))
    assert points(world) == ["/"]


def test_dot_and_dot_stack_the_old_root_on_the_new_one(world: World) -> None:
    new = world.vfs.get_dentry_at(ROOT, world.at("/new"))
    moved = pivot(world, ".", ".", new)
    assert moved == Pivot(moved.old, new)
    assert world.ns.root == new
    assert points(world) == ["/", "/"]
    assert world.listdir("/..") == ["new", "plain"]
    at_dot = PathOperation(new, new, "..")
    world.vfs.umount_at(ROOT, at_dot, UmountOptions(MNT_DETACH))
    assert world.listdir("/") == ["old"]


def test_what_it_refuses(world: World) -> None:
    world.mknod("/file")
    world.mkdir("/other")
    world.mount("/other")
    for new, old, number in [
        ("/file", "/plain", errno.ENOTDIR),
        ("/new", "/file", errno.ENOTDIR),
        ("/missing", "/new/old", errno.ENOENT),
        ("/", "/new/old", errno.EBUSY),
        ("/plain", "/new/old", errno.EBUSY),
        ("/new", "/plain", errno.EBUSY),
        ("/new/old", "/new/old", errno.EINVAL),
        ("/new", "/other", errno.EINVAL),
    ]:
        with raises(number):
            pivot(world, new, old)
    with raises(errno.EPERM):
        world.vfs.pivot_root_at(USER, world.at("/missing"), world.at("/missing"))
    assert sorted(points(world)) == ["/", "/new", "/other"]


def test_nothing_shared_may_be_touched(world: World) -> None:
    world.vfs.set_propagation_at(ROOT, world.at("/"), Propagation.SHARED)
    with raises(errno.EINVAL):
        pivot(world, "/", "/")
    with raises(errno.EINVAL):
        pivot(world, "/new", "/new/old")
    world.vfs.set_propagation_at(ROOT, world.at("/"), Propagation.PRIVATE)
    world.vfs.set_propagation_at(ROOT, world.at("/new"), Propagation.SHARED)
    with raises(errno.EINVAL):
        pivot(world, "/new", "/new/old")


def test_a_new_root_that_the_caller_does_not_see(world: World) -> None:
    world.mkdir("/jail")
    world.mount("/jail")
    world.mkdir("/jail/d")
    jail = world.vfs.get_dentry_at(ROOT, world.at("/jail"))
    new = world.vfs.get_dentry_at(ROOT, world.at("/new"))
    op = PathOperation(jail, new, ".")
    with raises(errno.EINVAL):
        world.vfs.pivot_root_at(ROOT, op, op)
    inside = world.vfs.get_dentry_at(ROOT, world.at("/jail/d"))
    world.vfs.mount_at(ROOT, "none", PathOperation(inside, inside, "/"), "tmpfs")
    chrooted = PathOperation(inside, inside, "/..")
    with raises(errno.EINVAL):
        world.vfs.pivot_root_at(ROOT, chrooted, chrooted)


def test_a_root_inside_a_namespace_is_replaced_where_it_is(world: World) -> None:
    root = world.vfs.get_dentry_at(ROOT, world.at("/new"))
    inner = PathOperation(root, root, "/old")
    mount = world.vfs.mount_at(ROOT, "none", inner, "tmpfs")
    moved = world.vfs.pivot_root_at(ROOT, inner, inner)
    assert moved == Pivot(root, VirtualDentry(mount, mount.root))
    assert world.ns.root_mount is not mount
    assert world.vfs.get_dentry_at(ROOT, world.at("/new")).mount is root.mount, "the old one is on top"
    assert mount.parent is world.ns.root_mount


def test_a_lock_passes_to_the_new_root(world: World) -> None:
    world.ns.root_mount.locked = True
    pivot(world, "/new", "/new/old")
    assert world.ns.root_mount.locked
    world.vfs.umount_at(ROOT, world.at("/old"))
