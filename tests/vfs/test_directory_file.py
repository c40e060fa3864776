"""Open directories: cookies stay good whatever is made, moved and removed between two looks (telldir(3))."""

from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vfs.world import World, raises
from vfs import ROOT

NAMES = [f"n{number}" for number in range(12)]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(1, 4)),
        st.tuples(st.sampled_from(["make", "remove", "move"]), st.sampled_from(NAMES)),
        st.tuples(st.just("seek"), st.integers(0, 100)),
    ),
    max_size=30,
)


def change(world: World, how: str, name: str) -> None:
    try:
        if how == "make":
            world.mknod(f"/d/{name}")
        elif how == "remove":
            world.vfs.unlink_at(ROOT, world.at(f"/d/{name}"))
        else:
            world.vfs.rename_at(ROOT, world.at(f"/d/{name}"), world.at("/d/moved"))
    except OSError:
        pass


@pytest.mark.property
@given(st.sets(st.sampled_from(NAMES)), STEPS)
def test_a_listing_goes_on_behind_its_cookies(first: set[str], steps: list[tuple[str, str | int]]) -> None:
    world = World()
    world.mkdir("/d")
    for name in first:
        world.mknod(f"/d/{name}")
    cookies: list[int] = []
    told: dict[int, str] = {}
    with world.open("/d", os.O_DIRECTORY) as directory:
        for how, what in steps:
            if isinstance(what, str):
                change(world, how, what)
            elif how == "read":
                directory.read_directory(what)
                cookies.append(directory.position)
            elif cookies:
                directory.seek(cookies[what % len(cookies)])
            while (before := directory.position) and (entries := directory.read_directory(1)):
                assert told.setdefault(before, entries[0].name) == entries[0].name
                cookies.append(directory.position)
        assert len(set(told.values())) == len(told)


def test_all_is_told_once_by_small_reads(world: World) -> None:
    world.mkdir("/d")
    for name in NAMES:
        world.mknod(f"/d/{name}")
    with world.open("/d", os.O_DIRECTORY) as directory:
        told = []
        while entries := directory.read_directory(5):
            assert len(entries) <= 5
            told += [entry.name for entry in entries]
            world.vfs.unlink_at(ROOT, world.at(f"/d/{told[-1]}"))
        assert sorted(told) == sorted(NAMES)
        directory.seek(0)
        assert len(directory.read_directory()) == len(NAMES) - 3


def test_a_removed_directory_tells_nothing(world: World) -> None:
    world.mkdir("/d")
    with world.open("/d", os.O_DIRECTORY) as directory:
        world.vfs.rmdir_at(ROOT, world.at("/d"))
        with raises(errno.ENOENT):
            directory.read_directory()
