"""What a file system type that can be written may offer or not: all of it, or a refusal that leaves everything as it was."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

import pytest

from tests.contract.filesystems.conftest import WRITABLE
from tests.contract.filesystems.tree import Tree
from vfs import ROOT, Mount, RenameOptions, VirtualFilesystem
from vfs.abi import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, RENAME_EXCHANGE, RENAME_WHITEOUT
from vfs.copying import copy_range

pytestmark = pytest.mark.parametrize("subject", WRITABLE, indirect=True)


@pytest.fixture
def tree(vfs: VirtualFilesystem, mount: Mount) -> Tree:
    tree = Tree(vfs, mount)
    tree.mkdir("/t")
    tree.mkdir("/t/d")
    tree.write("/t/d/f", b"first")
    tree.write("/t/g", b"second")
    return tree


def offered(call: Callable[[], object], refusal: int) -> bool:
    """Whether a call is made, and not refused with this errno; any other is a defect."""
    try:
        call()
    except OSError as problem:
        if problem.errno != refusal:
            raise
        return False
    return True


def contents(tree: Tree) -> list[tuple[str, bytes | list[str]]]:
    return [("/t", tree.names("/t")), ("/t/d", tree.names("/t/d")), ("/t/g", tree.read("/t/g"))]


def test_names_change_places(tree: Tree) -> None:
    before = contents(tree)
    exchange = RenameOptions(RENAME_EXCHANGE)
    if offered(lambda: tree.vfs.rename_at(ROOT, tree.at("/t/d"), tree.at("/t/g"), exchange), errno.EINVAL):
        assert (tree.read("/t/d"), tree.read("/t/g/f"), tree.names("/t")) == (b"second", b"first", ["d", "g"])
        tree.vfs.rename_at(ROOT, tree.at("/t/g/f"), tree.at("/t/d"), exchange)
        assert (tree.read("/t/d"), tree.read("/t/g/f")) == (b"first", b"second")
    else:
        assert contents(tree) == before


def test_a_whiteout_stays_behind(tree: Tree) -> None:
    before = contents(tree)
    whiteout = RenameOptions(RENAME_WHITEOUT)
    if offered(lambda: tree.vfs.rename_at(ROOT, tree.at("/t/d/f"), tree.at("/t/new"), whiteout), errno.EINVAL):
        assert tree.read("/t/new") == b"first"
        left = tree.stat("/t/d/f")
        assert (left.st_mode, left.st_rdev) == (stat.S_IFCHR, 0)
    else:
        assert contents(tree) == before


@pytest.mark.parametrize("linkable", [True, False])
def test_a_file_is_made_without_a_name(tree: Tree, linkable: bool) -> None:
    flags = os.O_TMPFILE | os.O_RDWR | (0 if linkable else os.O_EXCL)
    before = contents(tree)
    if not offered(lambda: tree.open("/t/d", flags).close(), errno.EOPNOTSUPP):
        assert contents(tree) == before
        return
    with tree.open("/t/d", flags) as file:
        assert file.write(b"third") == 5
        assert (file.stat().st_nlink, file.stat().st_size, tree.names("/t/d")) == (0, 5, ["f"])
        if offered(lambda: tree.vfs.link_file_at(ROOT, file, tree.at("/t/new")), errno.ENOENT):
            assert linkable
            assert (tree.read("/t/new"), file.stat().st_nlink) == (b"third", 1)
        else:
            assert not linkable
    assert tree.names("/t") == (["d", "g", "new"] if linkable else ["d", "g"])


def test_holes_are_punched(tree: Tree) -> None:
    tree.write("/t/h", b"x" * 12288)
    with tree.open("/t/h", os.O_RDWR) as file:
        punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
        whole = b"x" * 12288
        if offered(lambda: file.allocate(punch, 4096, 4096), errno.EOPNOTSUPP):
            whole = b"x" * 4096 + bytes(4096) + b"x" * 4096
            assert file.seek(0, os.SEEK_HOLE) in {4096, 12288}
        assert file.pread(20000, 0) == whole


def test_ranges_are_copied(tree: Tree) -> None:
    with tree.open("/t/d/f", os.O_RDONLY) as source, tree.open("/t/g", os.O_RDWR) as target:
        assert copy_range(source, 2, target, None, 100) == 3
        assert (source.position, target.position) == (0, 3)
        assert copy_range(source, None, target, 6, 2) == 2
    assert tree.read("/t/g") == b"rstondfi"


def test_attributes_are_the_same_by_descriptor(tree: Tree) -> None:
    with tree.open("/t/g", os.O_RDONLY) as file:
        if not offered(lambda: file.set_xattr("user.a", b"1"), errno.ENOTSUP):
            return
        assert tree.vfs.getxattr_at(ROOT, tree.at("/t/g"), "user.a") == file.get_xattr("user.a") == b"1"
        assert "user.a" in file.list_xattr()
        file.remove_xattr("user.a")
        assert "user.a" not in tree.vfs.listxattr_at(ROOT, tree.at("/t/g"))


def test_what_statx_knows_is_what_stat_says(tree: Tree) -> None:
    found = tree.vfs.statx_at(ROOT, tree.at("/t/g"))
    assert found.stat == tree.stat("/t/g")
    assert found.mount_id == tree.root.mount.id
    with tree.open("/t/g", os.O_RDONLY) as file:
        assert file.statx().btime_ns == found.btime_ns
