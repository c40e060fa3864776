"""stat of a tmpfs keeps what it told: it never tells of a file as it was before."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vfs.world import World
from vfs import ROOT, SetStat
from vfs.fs.tmpfs import TmpfsFilesystem, filesystem
from vfs.inode import Inode


def _change(changes: SetStat) -> Callable[[World, str], None]:
    return lambda world, name: world.vfs.set_stat_at(ROOT, world.at(name), changes)


def _write(world: World, name: str) -> None:
    if name == "file":
        with world.open(name, os.O_WRONLY | os.O_APPEND) as file:
            file.write(b"x" * 5000)


def _read(world: World, name: str) -> None:
    if name == "file":
        with world.open(name) as file:
            file.read()
    else:
        world.vfs.listdir_at(ROOT, world.at(name))


def _link(world: World, name: str) -> None:
    if name == "file":
        world.vfs.link_at(ROOT, world.at(name), world.at(f"link{world.stat(name).st_nlink}"))


def _make(world: World, name: str) -> None:
    if name == "directory":
        world.mkdir(f"directory/{world.stat(name).st_nlink}")


ACTIONS = [
    _change(SetStat(mode=0o600)),
    _change(SetStat(mode=0o755)),
    _change(SetStat(uid=7)),
    _change(SetStat(gid=7)),
    _change(SetStat(atime_ns=1)),
    _change(SetStat(mtime_ns=1_999_999_999)),
    _change(SetStat(touch=True)),
    _write,
    _read,
    _link,
    _make,
]


@given(st.lists(st.tuples(st.sampled_from(["file", "directory"]), st.sampled_from(ACTIONS)), max_size=12))
def test_what_is_told_again_is_what_would_be_told_anew(actions: list[tuple[str, Callable[[World, str], None]]]) -> None:
    world = World()
    world.mknod("file")
    world.mkdir("directory")
    for name, action in actions:
        action(world, name)
        for each in ("file", "directory"):
            told, again = world.stat(each), world.stat(each)
            inode = world.vfs.get_dentry_at(ROOT, world.at(each)).dentry.inode
            anew = Inode.stat_result(inode, told.st_blocks)
            assert told is again
            assert repr(told) == repr(anew)
            assert (told.st_atime_ns, told.st_mtime_ns, told.st_ctime_ns) == (
                inode.atime_ns,
                inode.mtime_ns,
                inode.ctime_ns,
            )


def test_few_results_are_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem, "_STAT_RESULTS", 8)
    fs = world.ns.root.mount.fs
    assert isinstance(fs, TmpfsFilesystem)
    for number in range(100):
        world.mknod(str(number))
        assert world.stat(str(number)).st_ino == world.stat(str(number)).st_ino
        assert len(fs.stat_results) <= 8
