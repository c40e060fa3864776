"""What the comparison with the kernel cannot see: the root, the empty path, the path cache, NOSYMFOLLOW."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vfs.world import USER, World, raises
from vfs import ROOT, MountFlags, MountOptions, PathOperation, SetStat, VirtualDentry
from vfs.abi import SYMLINKS_MAX
from vfs.pathcache import LIMIT
from vfs.resolve import Walk, at, resolve


def place(world: World, path: str) -> VirtualDentry:
    return world.vfs.get_dentry_at(ROOT, world.at(path))


def test_an_empty_path_is_the_start_only_for_those_who_say_so(world: World) -> None:
    world.mkdir("/a")
    start = place(world, "/a")
    assert world.vfs.get_dentry_at(ROOT, at(start)) == start
    with raises(errno.ENOENT):
        world.vfs.get_dentry_at(ROOT, PathOperation(world.ns.root, start, ""))


def test_nothing_above_the_root_is_reached(world: World) -> None:
    world.mkdir("/jail")
    world.mkdir("/jail/d")
    world.symlink("/../../jail", "/jail/d/l")
    jail = place(world, "/jail")
    for path in ("/..", "..", "d/../..", "/../../.."):
        assert world.vfs.get_dentry_at(ROOT, PathOperation(jail, jail, path)) == jail
    with raises(errno.ENOENT):
        world.vfs.get_dentry_at(ROOT, PathOperation(jail, jail, "d/l"))


def test_a_mount_on_the_root_is_seen_by_nobody_but_dotdot(world: World) -> None:
    world.mkdir("/below")
    mount = world.mount("/")
    assert world.listdir("/") == ["below"]
    assert place(world, "/..").mount is mount


@pytest.mark.rows("S11", oracle="specification")
def test_forty_links_are_followed_and_no_more(world: World) -> None:
    world.mkdir("/0")
    for number in range(SYMLINKS_MAX + 1):
        world.symlink(str(number), f"/{number + 1}")
    assert place(world, f"/{SYMLINKS_MAX}") == place(world, "/0")
    with raises(errno.ELOOP):
        place(world, f"/{SYMLINKS_MAX + 1}")


def test_nosymfollow_mounts_follow_none(world: World) -> None:
    world.mkdir("/m")
    world.mount("/m", flags=MountFlags.NOSYMFOLLOW)
    world.symlink("/", "/m/l")
    with raises(errno.ELOOP):
        world.stat("/m/l")
    assert world.stat("/m/l", follow=False).st_size == 1


def test_one_users_walk_opens_no_door_to_another(world: World) -> None:
    world.vfs.mkdir_all_at(ROOT, world.at("/secret/inner"), 0o755)
    world.vfs.set_stat_at(ROOT, world.at("/secret"), SetStat(mode=0o700))
    world.stat("/secret/inner")
    with raises(errno.EACCES):
        world.vfs.stat_at(USER, world.at("/secret/inner"))


def test_closing_a_directory_ends_earlier_walks(world: World) -> None:
    world.vfs.mkdir_all_at(ROOT, world.at("/d/inner"), 0o755)
    world.vfs.stat_at(USER, world.at("/d/inner"))
    world.vfs.set_stat_at(ROOT, world.at("/d"), SetStat(mode=0o700))
    with raises(errno.EACCES):
        world.vfs.stat_at(USER, world.at("/d/inner"))


def test_the_path_cache_is_bounded(world: World) -> None:
    cache = world.vfs.path_cache
    for number in range(LIMIT + 10):
        cache.entries[ROOT, world.ns.root, world.ns.root, str(number), True] = world.ns.root
    world.mkdir("/a")
    world.stat("/a")
    assert len(cache.entries) < LIMIT


@given(st.lists(st.sampled_from(["a", "b", "l", "m", "..", "."]), min_size=1, max_size=8), st.booleans())
def test_the_three_speeds_agree(names: list[str], slash: bool) -> None:
    world = World()
    for path in ("/a", "/a/b", "/b", "/b/a"):
        world.mkdir(path)
    world.symlink("a/b", "/l")
    world.symlink("../l", "/b/m")
    world.mount("/a/b")
    world.mkdir("/a/b/a")
    op = world.at("/" + "/".join(names) + ("/" if slash else ""))

    def walk_slowly() -> object:
        return Walk.begin(ROOT, op).to_end(follow=True)

    def walk() -> object:
        return resolve(world.vfs.path_cache, ROOT, op)

    answers = []
    for each in (walk_slowly, walk, walk):
        try:
            answers.append(each())
        except OSError as raised:
            answers.append(raised.errno)
    assert answers[0] == answers[1] == answers[2]


def test_errors_name_the_path(world: World) -> None:
    world.mknod("/f")
    for path in ("/f/x", "/missing/x", "/f/"):
        with pytest.raises(OSError, match="/"):
            world.stat(path)


def test_a_detached_mount_is_walked_from_its_own_root(world: World) -> None:
    mount = world.vfs.mount_disconnected(ROOT, "none", "tmpfs", MountOptions())
    root = VirtualDentry(mount, mount.root)
    world.vfs.mkdir_at(ROOT, PathOperation(root, root, "d"))
    assert world.vfs.get_dentry_at(ROOT, PathOperation(root, root, "/d/../..")) == root
