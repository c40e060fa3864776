"""What every file system type that can be written owes its callers."""

from __future__ import annotations

import errno
import os

import pytest

from tests.contract.filesystems.conftest import WRITABLE
from tests.contract.filesystems.tree import Tree
from tests.vfs.world import raises
from vfs import (
    ROOT,
    Mount,
    SetStat,
    VirtualFilesystem,
)

pytestmark = pytest.mark.parametrize("subject", WRITABLE, indirect=True)


@pytest.fixture
def tree(vfs: VirtualFilesystem, mount: Mount) -> Tree:
    tree = Tree(vfs, mount)
    tree.mkdir("/t")
    return tree


def test_bytes_are_kept(tree: Tree) -> None:
    tree.write("/t/f", b"hello world")
    with tree.open("/t/f", os.O_RDWR) as file:
        file.pwrite(b"W", 6)
        assert file.pread(5, 6) == b"World"
        file.truncate(8)
        file.seek(0, os.SEEK_END)
        file.write(b"x")
    assert tree.read("/t/f") == b"hello Wox"
    with tree.open("/t/f", os.O_WRONLY | os.O_APPEND) as file:
        file.write(b"!")
    assert tree.stat("/t/f").st_size == 10
    tree.open("/t/f", os.O_WRONLY | os.O_TRUNC).close()
    assert tree.read("/t/f") == b""


def test_names_come_and_go(tree: Tree) -> None:
    vfs = tree.vfs
    tree.mkdir("/t/d")
    tree.write("/t/d/f", b"1")
    vfs.link_at(ROOT, tree.at("/t/d/f"), tree.at("/t/g"))
    vfs.symlink_at(ROOT, tree.at("/t/l"), "d/f")
    assert tree.names("/t") == ["d", "g", "l"]
    assert tree.stat("/t/g").st_ino == tree.stat("/t/d/f").st_ino
    assert tree.stat("/t/g").st_nlink == 2
    assert vfs.readlink_at(ROOT, tree.at("/t/l")) == "d/f"
    with raises(errno.ENOTEMPTY):
        vfs.rmdir_at(ROOT, tree.at("/t/d"))
    vfs.unlink_at(ROOT, tree.at("/t/d/f"))
    assert tree.stat("/t/g").st_nlink == 1
    vfs.rmdir_at(ROOT, tree.at("/t/d"))
    vfs.unlink_at(ROOT, tree.at("/t/l"))
    with raises(errno.ENOENT):
        tree.stat("/t/d")
    assert tree.names("/t") == ["g"]
    with raises(errno.EEXIST):
        tree.mkdir("/t/g")


def test_names_move(tree: Tree) -> None:
    tree.mkdir("/t/a")
    tree.mkdir("/t/b")
    tree.write("/t/a/f", b"old")
    tree.write("/t/b/f", b"new")
    tree.vfs.rename_at(ROOT, tree.at("/t/b/f"), tree.at("/t/a/f"))
    assert tree.read("/t/a/f") == b"new"
    assert tree.names("/t/b") == []
    with raises(errno.ENOTEMPTY):
        tree.vfs.rename_at(ROOT, tree.at("/t/b"), tree.at("/t/a"))
    tree.vfs.rename_at(ROOT, tree.at("/t/a"), tree.at("/t/b"))
    assert tree.names("/t") == ["b"]
    assert tree.read("/t/b/f") == b"new"


def test_attributes_are_set(tree: Tree) -> None:
    tree.write("/t/f", b"x")
    assert tree.stat("/t/f").st_mode == 0o100640
    assert tree.stat("/t").st_mode == 0o040750
    tree.vfs.set_stat_at(ROOT, tree.at("/t/f"), SetStat(mode=0o4711))
    tree.vfs.set_stat_at(ROOT, tree.at("/t/f"), SetStat(atime_ns=10**9, mtime_ns=2 * 10**9 + 5))
    info = tree.stat("/t/f")
    assert (info.st_mode, info.st_atime_ns, info.st_mtime_ns) == (0o104711, 10**9, 2 * 10**9 + 5)
    tree.vfs.set_stat_at(ROOT, tree.at("/t"), SetStat(mode=0o701))
    assert tree.stat("/t").st_mode == 0o040701


def test_a_nameless_file_lives_until_it_is_closed(tree: Tree) -> None:
    with tree.open("/t/f") as file:
        tree.vfs.unlink_at(ROOT, tree.at("/t/f"))
        file.write(b"still here")
        assert file.pread(5, 0) == b"still"
        assert file.stat().st_nlink == 0
