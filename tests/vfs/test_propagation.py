"""Propagation, case by case; what the comparison with the kernel cannot reach: numbers of groups, limits, other namespaces."""

from __future__ import annotations

import errno
import os
import re

import pytest

from tests.vfs.world import World, raises
from vfs import (
    ROOT,
    BindOptions,
    MountFlags,
    MountNamespace,
    MountOptions,
    OpenOptions,
    PathOperation,
    Propagation,
    UmountOptions,
)
from vfs import namespace as namespace_module
from vfs.abi import MNT_DETACH
from vfs.mountinfo import mountinfo


@pytest.fixture(autouse=True)
def directories(world: World) -> None:
    for name in ("/a", "/b", "/c"):
        world.mkdir(name)


def share(world: World, path: str, kind: Propagation = Propagation.SHARED, *, recursive: bool = False) -> None:
    world.vfs.set_propagation_at(ROOT, world.at(path), kind, recursive=recursive)


def bind(world: World, source: str, target: str, *, recursive: bool = False) -> None:
    world.vfs.bind_at(ROOT, world.at(source), world.at(target), BindOptions(recursive=recursive))


def umount(world: World, path: str, flags: int = 0) -> None:
    world.vfs.umount_at(ROOT, world.at(path), UmountOptions(flags))


def tags(world: World, namespace: MountNamespace | None = None) -> dict[str, str]:
    """The tags by mount point, of the topmost mount where several are stacked."""
    lines = mountinfo(namespace or world.ns)
    fields = [re.split(" ", line.partition(" - ")[0], maxsplit=6) for line in lines]
    return {each[4]: each[6] if len(each) > 6 else "" for each in fields}


def peers(world: World, *paths: str) -> None:
    """One shared tmpfs at several places."""
    world.mount(paths[0])
    share(world, paths[0])
    for path in paths[1:]:
        bind(world, paths[0], path)


def test_a_mount_is_made_shared_and_private_again(world: World) -> None:
    world.mount("/a")
    assert tags(world)["/a"] == ""
    share(world, "/a")
    share(world, "/a")
    assert tags(world)["/a"] == "shared:1"
    share(world, "/a", Propagation.PRIVATE)
    assert tags(world)["/a"] == ""
    with raises(errno.EINVAL):
        share(world, "/b")


def test_numbers_of_groups_are_used_again_the_lowest_first(world: World) -> None:
    for path in ("/a", "/b", "/c"):
        peers(world, path)
    assert tags(world) == {"/": "", "/a": "shared:1", "/b": "shared:2", "/c": "shared:3"}
    umount(world, "/b")
    umount(world, "/a")
    peers(world, "/b")
    peers(world, "/a")
    assert tags(world) == {"/": "", "/a": "shared:2", "/b": "shared:1", "/c": "shared:3"}


def test_a_mount_is_heard_of_by_peers_and_slaves_but_not_the_other_way(world: World) -> None:
    peers(world, "/a", "/b", "/c")
    share(world, "/c", Propagation.SLAVE)
    world.mkdir("/a/m")
    world.mount("/a/m")
    found = tags(world)
    assert found["/c"] == "master:1"
    assert (found["/a/m"], found["/b/m"], found["/c/m"]) == ("shared:2", "shared:2", "master:2")
    world.mkdir("/c/n")
    world.mount("/c/n")
    assert not {"/a/n", "/b/n"} & set(tags(world))
    umount(world, "/b/m")
    assert set(tags(world)) == {"/", "/a", "/b", "/c", "/c/n"}


def test_a_slave_that_is_shared_hands_on_what_it_hears(world: World) -> None:
    peers(world, "/a", "/b", "/c")
    for path in ("/b", "/c"):
        share(world, path, Propagation.SLAVE)
    share(world, "/b")
    umount(world, "/c")
    bind(world, "/b", "/c")
    world.mkdir("/a/m")
    world.mount("/a/m")
    assert tags(world)["/b/m"] == tags(world)["/c/m"] == "shared:4 master:3"
    assert tags(world)["/b"] == tags(world)["/c"] == "shared:2 master:1"


def test_slaves_of_a_group_that_goes_are_given_to_its_master(world: World) -> None:
    peers(world, "/a", "/b", "/c")
    share(world, "/b", Propagation.SLAVE)
    share(world, "/b")
    umount(world, "/c")
    bind(world, "/b", "/c")
    share(world, "/c", Propagation.SLAVE)
    assert tags(world)["/c"] == "master:2"
    umount(world, "/b")
    assert tags(world)["/c"] == "master:1"
    umount(world, "/a")
    assert tags(world)["/c"] == ""


def test_an_umount_passes_over_peers_in_which_something_is_mounted(world: World) -> None:
    peers(world, "/a", "/b")
    world.mkdir("/a/m")
    world.mount("/a/m")
    share(world, "/b/m", Propagation.PRIVATE)
    world.mkdir("/b/m/inner")
    world.mount("/b/m/inner")
    umount(world, "/a/m")
    assert set(tags(world)) == {"/", "/a", "/b", "/b/m", "/b/m/inner"}


def test_what_covers_a_peer_takes_its_place(world: World) -> None:
    peers(world, "/a", "/b")
    world.mkdir("/a/m")
    world.mount("/a/m")
    share(world, "/b/m", Propagation.PRIVATE)
    world.mount("/b/m", "mode=0711")
    umount(world, "/a/m")
    assert set(tags(world)) == {"/", "/a", "/b", "/b/m"}
    assert world.stat("/b/m").st_mode & 0o777 == 0o711


def test_a_copy_goes_beneath_what_is_there_already(world: World) -> None:
    world.mount("/a")
    world.mkdir("/a/m")
    share(world, "/a")
    bind(world, "/a", "/b")
    share(world, "/b", Propagation.SLAVE)
    world.mount("/b/m", "mode=0711")
    world.mount("/a/m", "mode=0701")
    assert world.stat("/b/m").st_mode & 0o777 == 0o711
    umount(world, "/b/m")
    assert world.stat("/b/m").st_mode & 0o777 == 0o701


def test_a_shared_mount_bound_in_a_private_one_tells_nobody(world: World) -> None:
    peers(world, "/a")
    world.mount("/b")
    world.mkdir("/b/m")
    bind(world, "/a", "/b/m")
    assert tags(world) == {"/": "", "/a": "shared:1", "/b": "", "/b/m": "shared:1"}


def test_an_unbindable_mount_is_not_copied(world: World) -> None:
    world.mount("/a")
    world.mkdir("/a/m")
    world.mount("/a/m")
    share(world, "/a/m", Propagation.UNBINDABLE)
    with raises(errno.EINVAL):
        bind(world, "/a/m", "/b")
    bind(world, "/a", "/b", recursive=True)
    assert tags(world) == {"/": "", "/a": "", "/b": "", "/a/m": "unbindable"}


def test_propagation_of_a_whole_tree(world: World) -> None:
    world.mount("/a")
    world.mkdir("/a/m")
    world.mount("/a/m")
    share(world, "/a", recursive=True)
    assert tags(world) == {"/": "", "/a": "shared:1", "/a/m": "shared:2"}


@pytest.mark.rows("H24", oracle="specification")
def test_a_mount_moves_with_all_below_it(world: World) -> None:
    world.mount("/a", "mode=0701")
    world.mkdir("/a/m")
    world.mount("/a/m")
    world.vfs.move_mount_at(ROOT, world.at("/a"), world.at("/b"))
    assert set(tags(world)) == {"/", "/b", "/b/m"}
    assert world.listdir("/a") == []
    with raises(errno.ELOOP):
        world.vfs.move_mount_at(ROOT, world.at("/b"), world.at("/b/m"))
    with raises(errno.EINVAL):
        world.vfs.move_mount_at(ROOT, world.at("/c"), world.at("/a"))
    share(world, "/b")
    with raises(errno.EINVAL):
        world.vfs.move_mount_at(ROOT, world.at("/b/m"), world.at("/c"))
    with raises(errno.ELOOP):
        world.vfs.move_mount_at(ROOT, world.at("/"), world.at("/c"))


def test_a_slave_that_moves_onto_its_master_hears_of_itself(world: World) -> None:
    peers(world, "/a", "/b")
    share(world, "/b", Propagation.SLAVE)
    world.vfs.move_mount_at(ROOT, world.at("/b"), world.at("/a"))
    fields = [line.partition(" - ")[0].split(" ", 6)[4:] for line in mountinfo(world.ns)]
    assert [(each[0], *each[2:]) for each in fields] == [
        ("/",),
        ("/a", "shared:1"),
        ("/a", "shared:2 master:1"),
        ("/a", "master:2"),
    ]


def test_a_lazy_umount_takes_a_tree_away_and_leaves_files_usable(world: World) -> None:
    world.mount("/a")
    world.mkdir("/a/m")
    world.mount("/a/m")
    world.write("/a/m/file", b"text")
    with world.open("/a/m/file") as file:
        umount(world, "/a", MNT_DETACH)
        assert set(tags(world)) == {"/"}
        assert file.read() == b"text"


def test_an_open_file_on_a_peer_keeps_both_mounted(world: World) -> None:
    peers(world, "/a", "/b")
    world.mkdir("/a/m")
    world.mount("/a/m")
    world.write("/b/m/file", b"")
    with world.open("/b/m/file"), raises(errno.EBUSY):
        umount(world, "/a/m")
    umount(world, "/a/m")
    assert set(tags(world)) == {"/", "/a", "/b"}


def test_the_limit_counts_copies_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    peers(world, "/a", "/b", "/c")
    world.mkdir("/a/m")
    monkeypatch.setattr(namespace_module, "MOUNT_MAX", 6)
    before = mountinfo(world.ns)
    with raises(errno.ENOSPC):
        world.mount("/a/m")
    assert mountinfo(world.ns) == before
    monkeypatch.setattr(namespace_module, "MOUNT_MAX", 7)
    world.mount("/a/m")
    assert tags(world)["/b/m"] == "shared:2", "the number of the mount that was refused is free again"
    assert world.ns.mount_count == len(list(world.ns)) == 7


def test_a_copy_of_a_namespace_hears_of_shared_mounts_alone(world: World) -> None:
    peers(world, "/a")
    world.mount("/b")
    share(world, "/b", Propagation.UNBINDABLE)
    other = world.vfs.copy_mount_namespace(ROOT, world.ns).namespace
    for path in ("/a/m", "/c/m"):
        world.mkdir(path)
        world.mount(path)
    assert tags(world, other) == {"/": "", "/a": "shared:1", "/b": "", "/a/m": "shared:2"}
    assert (world.ns.mount_count, other.mount_count) == (5, 4)
    there = PathOperation(other.root, other.root, "/a/m")
    world.vfs.umount_at(ROOT, there, UmountOptions())
    assert "/a/m" not in tags(world)
    assert (world.ns.mount_count, other.mount_count) == (4, 3)


@pytest.mark.rows("H24", oracle="specification")
def test_flags_are_set_on_all_or_on_none(world: World) -> None:
    world.mount("/a")
    world.mkdir("/a/m")
    world.mount("/a/m")
    change = world.vfs.set_mount_flags_at
    with world.open("/a/m/file", os.O_WRONLY | os.O_CREAT):
        with raises(errno.EBUSY):
            change(ROOT, world.at("/a"), MountFlags.RDONLY, recursive=True)
        change(ROOT, world.at("/a"), MountFlags.RDONLY)
    with raises(errno.EROFS):
        world.mkdir("/a/x")
    world.mkdir("/a/m/x")
    change(ROOT, world.at("/a"), MountFlags.NOATIME | MountFlags.NODEV, MountFlags.RDONLY, recursive=True)
    change(ROOT, world.at("/a/m"), MountFlags.RELATIME)
    options = {line.split()[4]: line.split()[5] for line in mountinfo(world.ns)}
    assert (options["/a"], options["/a/m"]) == ("rw,nodev,noatime", "rw,nodev,relatime")
    with raises(errno.EINVAL):
        change(ROOT, world.at("/b"), MountFlags.NODEV)


def test_a_link_already_followed_is_not_followed_once_that_is_forbidden(world: World) -> None:
    world.mount("/a")
    world.mkdir("/a/d")
    world.symlink("d", "/a/l")
    assert world.listdir("/a/l") == []
    world.vfs.set_mount_flags_at(ROOT, world.at("/a"), MountFlags.NOSYMFOLLOW)
    with raises(errno.ELOOP):
        world.listdir("/a/l")


def test_devices_and_programs_under_flags(world: World) -> None:
    options = MountOptions(MountFlags.NODEV | MountFlags.NOEXEC, "mode=0755")
    world.vfs.mount_at(ROOT, "none", world.at("/a"), "tmpfs", options)
    world.mknod("/a/null", 0o020666, os.makedev(1, 3))
    world.mknod("/a/program", 0o100755)
    with raises(errno.EACCES):
        world.vfs.open_at(ROOT, world.at("/a/null"), OpenOptions(os.O_RDONLY))
    with raises(errno.EACCES):
        world.vfs.access_at(ROOT, world.at("/a/program"), os.X_OK)
    world.vfs.set_mount_flags_at(ROOT, world.at("/a"), MountFlags(0), MountFlags.NOEXEC)
    world.vfs.access_at(ROOT, world.at("/a/program"), os.X_OK)
