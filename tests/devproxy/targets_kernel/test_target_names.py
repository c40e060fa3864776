"""The verbs that make names and look at them, each on every way that this kernel has."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from devproxy.mount_options import Attribute, Change
from devproxy.node import DeviceNumber, NodeKind
from devproxy.targets.kernel.paths import KernelPaths
from devproxy.targets.kernel.target import KernelTarget
from devproxy.targets.target import FileKind, Look
from tests.devproxy.targets_kernel.rig import (
    bind_root,
    build,
    overlay_root,
    tmpfs,
)
from tests.devproxy.targets_kernel.verbs import NULL, errno_of

pytestmark = pytest.mark.root


@pytest.mark.rows("S50", oracle="kernel")
def test_mount_points_are_made_with_their_parents(paths: KernelPaths, rootfs: Path) -> None:
    def work(target: KernelTarget) -> list[Any]:
        overlay_root(target, rootfs)
        return [
            target.make_mount_point("/a/b/c", directory=True),
            target.make_mount_point("/a/b/d/e", directory=False),
            target.make_mount_point("/to-mnt/x/y", directory=False),
            target.make_mount_point("/up/z", directory=True),
            target.make_mount_point("/nowhere/x", directory=False),
            target.make_mount_point("/nowhere", directory=True),
            errno_of(target.make_mount_point, "/file/x", directory=True),
            errno_of(target.make_mount_point, "/file/x", directory=False),
        ]

    with build(work, paths=paths) as root:
        assert root.outcomes == ["/a", "/a/b/d", "/to-mnt/x", "/up/z", "/not", "", "ENOTDIR", "ENOTDIR"]
        assert stat.S_IMODE(root.stat("/a/b").st_mode) == 0o755
        assert stat.filemode(root.stat("/a/b/d/e").st_mode) == "-rw-r--r--"
        assert root.listdir("/mnt") == ["x", "z"]


def test_nothing_is_made_in_a_read_only_place(paths: KernelPaths, rootfs: Path) -> None:
    def work(target: KernelTarget) -> list[Any]:
        bind_root(target, rootfs)
        target.attach(tmpfs(target, change=Change(Attribute.RDONLY)), "/mnt")
        return [
            errno_of(target.make_mount_point, "/mnt/a", directory=True),
            errno_of(target.make_mount_point, "/mnt/a", directory=False),
            errno_of(target.make_directory, "/mnt/a", 0o755),
            errno_of(target.make_symlink, "/mnt/a", "b"),
            errno_of(target.make_node, "/mnt/a", NodeKind.CHARACTER, NULL, 0o666, 0, 0),
        ]

    with build(work, paths=paths) as root:
        assert root.outcomes == ["EROFS"] * 5


def test_directories_have_exactly_their_mode(paths: KernelPaths, rootfs: Path) -> None:
    def work(target: KernelTarget) -> list[Any]:
        overlay_root(target, rootfs)
        return [
            target.make_directory("/a/b", 0o1777),
            target.make_directory("/a/b", 0o700),
            target.make_directory("/to-mnt", 0o700),
            errno_of(target.make_directory, "/file", 0o755),
            errno_of(target.make_directory, "/nowhere", 0o755),
        ]

    with build(work, paths=paths) as root:
        assert root.outcomes == [True, False, False, "ENOTDIR", "True"]
        assert [stat.S_IMODE(root.stat(path).st_mode) for path in ("/a", "/a/b")] == [0o755, 0o1777]


@pytest.mark.rows("S66", "S70", oracle="kernel")
@pytest.mark.parametrize(
    ("kind", "number", "letter"),
    [(NodeKind.CHARACTER, NULL, "c"), (NodeKind.BLOCK, DeviceNumber(4095, 1048575), "b"), (NodeKind.FIFO, None, "p")],
)
@pytest.mark.parametrize("owner", [(0, 0), (7, 8), (0, 9)])
def test_nodes_have_exactly_their_number_mode_and_owner(
    paths: KernelPaths, rootfs: Path, kind: NodeKind, number: DeviceNumber | None, letter: str, owner: tuple[int, int]
) -> None:
    def work(target: KernelTarget) -> list[Any]:
        overlay_root(target, rootfs)
        target.make_node("/dev/deep/node", kind, number, 0o662, *owner)
        return [
            errno_of(target.make_node, "/dev/deep/node", kind, number, 0o600, 0, 0),
            errno_of(target.make_node, "/nowhere", kind, number, 0o600, 0, 0),
            errno_of(target.make_node, "/", kind, number, 0o600, 0, 0),
            errno_of(target.make_node, "/dev/..", kind, number, 0o600, 0, 0),
        ]

    with build(work, paths=paths) as root:
        assert root.outcomes == ["EEXIST"] * 4
        found = root.lstat("/dev/deep/node")
        assert stat.filemode(found.st_mode) == letter + "rw-rw--w-"
        assert (found.st_uid, found.st_gid) == owner
        if number is not None:
            assert found.st_rdev == number.rdev


def test_a_symlink_is_made_and_never_followed(paths: KernelPaths, rootfs: Path) -> None:
    def work(target: KernelTarget) -> list[Any]:
        overlay_root(target, rootfs)
        target.make_symlink("/dev/x/fd", "/proc/self/fd")
        return [errno_of(target.make_symlink, path, "x") for path in ("/dev/x/fd", "/nowhere", "/file")]

    with build(work, paths=paths) as root:
        assert root.outcomes == ["EEXIST"] * 3
        assert root.readlink("/dev/x/fd") == "/proc/self/fd"


def test_looking_follows_no_final_link(paths: KernelPaths, rootfs: Path) -> None:
    os.mknod(rootfs / "dev/null", 0o20640, NULL.rdev)
    os.chown(rootfs / "dev/null", 3, 4)
    (rootfs / "file").chmod(0o604)

    def looked(look: Look | None) -> list[Any]:
        return [] if look is None else [look.kind.value, look.mode, look.uid, look.gid, str(look.number), look.link]

    def work(target: KernelTarget) -> list[Any]:
        source = target.open_source(str(rootfs))
        places = ["/dev/null", "/file", "/to-mnt", "/up/../to-mnt/.", "/missing", "/missing/x", "/nowhere", "/", "/.."]
        before = [looked(target.look_in(source, path)) for path in places]
        target.attach(target.bind(source, recursive=True), "/")
        assert before == [looked(target.look(path)) for path in places]
        return [*before, errno_of(target.look, "/file/x"), errno_of(target.look, "/nowhere/x")]

    with build(work, paths=paths) as root:
        assert root.outcomes[:3] == [
            [FileKind.CHARACTER.value, 0o640, 3, 4, "1:3", None],
            ["-", 0o604, 0, 0, "None", None],
            ["l", 0o777, 0, 0, "None", "/mnt"],
        ]
        assert [look[0] if look else None for look in root.outcomes[3:9]] == ["d", None, None, "l", "d", "d"]
        assert root.outcomes[6][5] == "/not/there"
        assert root.outcomes[9:] == ["ENOTDIR", "None"]


def test_a_mount_changes_what_a_path_means(paths: KernelPaths, rootfs: Path) -> None:
    """The directory that was held open for speed is not the one that the path leads to any more."""

    def work(target: KernelTarget) -> list[Any]:
        overlay_root(target, rootfs)
        target.make_symlink("/mnt/before", "x")
        target.attach(tmpfs(target), "/mnt")
        gone = target.look("/mnt/before") is None
        target.make_symlink("/mnt/after", "x")
        target.attach(tmpfs(target), "/srv/deep")
        target.attach(tmpfs(target), "/srv")
        target.make_symlink("/srv/after", "x")
        return [gone]

    with build(work, paths=paths) as root:
        assert root.outcomes == [True]
        assert (root.listdir("/mnt"), root.listdir("/srv")) == (["after"], ["after"])


def test_listing(paths: KernelPaths, rootfs: Path) -> None:
    def work(target: KernelTarget) -> list[Any]:
        bind_root(target, rootfs)
        errors = [errno_of(target.list_directory, path) for path in ("/file", "/missing", "/file/x")]
        return [sorted(target.list_directory("/srv")), target.list_directory("/up"), *errors]

    with build(work, paths=paths) as root:
        assert root.outcomes == [["deep"], [], "ENOTDIR", "ENOENT", "ENOTDIR"]
