"""Making and looking, as devproxy/targets/target.py says it for every target."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

import pytest

from devproxy.host.facts import HostNode, MajorLine
from devproxy.node import DeviceNumber, Fixed, Identity, LikeHost, NodeKind, OfDriver
from devproxy.targets.root import Root
from devproxy.targets.target import NewNode, NumberFound, Target
from tests.contract.targets.rig import HOST, Build, overlay_root, tmpfs, tmpfs_root, told

NULL = DeviceNumber(1, 3)


def modes(root: Root, *paths: str) -> list[str]:
    return [oct(stat.S_IMODE(root.lstat(path).st_mode)) for path in paths]


# mount points


@pytest.mark.rows("S50", "H23", oracle="kernel")
def test_a_mount_point_is_made_with_its_parents_inside_the_root(build: Build, image: str) -> None:
    def work(target: Target) -> list[str]:
        overlay_root(target, image)
        made = [target.make_mount_point(path, directory=True) for path in ("/a/b/c", "/to-mnt/x/y", "/up/z", "/etc")]
        files = [target.make_mount_point(path, directory=False) for path in ("/a/f", "/new/deep/f", "/mnt/../g")]
        return made + files

    with build(work) as (root, result):
        assert result == ["/a", "/to-mnt/x", "/up/z", "", "/a/f", "/new", "/mnt/../g"]
        assert modes(root, "/a", "/a/b", "/a/b/c", "/mnt/x/y", "/mnt/z", "/new/deep") == ["0o755"] * 6
        assert modes(root, "/a/f", "/new/deep/f", "/g") == ["0o644"] * 3
        assert root.read_bytes("/g") == b""


@pytest.mark.rows("S50", oracle="kernel")
def test_a_mount_point_that_cannot_be_made(build: Build, image: str) -> None:
    def work(target: Target) -> list[str]:
        overlay_root(target, image)
        answers = [
            told(target.make_mount_point, "/file/x", directory=True),
            told(target.make_mount_point, "/file/x", directory=False),
            told(target.make_mount_point, "/loop", directory=True),
        ]
        target.seal("/")
        return [*answers, told(target.make_mount_point, "/a/b", directory=True), told(_file, target, "/f")]

    def _file(target: Target, path: str) -> str:
        return target.make_mount_point(path, directory=False)

    with build(work) as (_, result):
        assert result == [
            "ENOTDIR /file/x",
            "ENOTDIR /file",
            "ELOOP /loop",
            "EROFS /a",
            "EROFS /f",
        ]


# directories, nodes, links


def test_make_directory_gives_the_mode_to_the_last_alone(build: Build, image: str) -> None:
    def work(target: Target) -> list[str]:
        overlay_root(target, image)
        paths = ("/a/b", "/a/b", "/etc", "/file", "/nowhere", "/to-mnt", "/file/x")
        return [told(target.make_directory, path, 0o1777) for path in paths]

    with build(work) as (root, result):
        assert result == ["True", "False", "False", "ENOTDIR /file", "True", "False", "ENOTDIR /file/x"]
        assert modes(root, "/a", "/a/b", "/etc", "/not", "/not/there") == [
            "0o755",
            "0o1777",
            "0o755",
            "0o755",
            "0o1777",
        ]


@pytest.mark.rows("S66", "S70", oracle="kernel")
@pytest.mark.rows("S7", "H2", oracle="kernel")
def test_a_node_has_exactly_this_kind_number_mode_and_owner(build: Build, image: str) -> None:
    def work(target: Target) -> None:
        overlay_root(target, image)
        target.make_node("/dev/x/null", NodeKind.CHARACTER, NULL, 0o666, 0, 0)
        target.make_node("/dev/disk", NodeKind.BLOCK, DeviceNumber(259, 1 << 19), 0o060, 0, 6)
        target.make_node("/dev/pipe", NodeKind.FIFO, None, 0o622, 1000, 1001)
        target.make_node("/up/n", NodeKind.CHARACTER, DeviceNumber(511, 255), 0, 7, 0)

    with build(work) as (root, _):
        paths = ("/dev/x/null", "/dev/disk", "/dev/pipe", "/mnt/n")
        found = [root.lstat(path) for path in paths]
        assert [(oct(each.st_mode), each.st_rdev, each.st_uid, each.st_gid) for each in found] == [
            ("0o20666", NULL.rdev, 0, 0),
            ("0o60060", os.makedev(259, 1 << 19), 0, 6),
            ("0o10622", 0, 1000, 1001),
            ("0o20000", os.makedev(511, 255), 7, 0),
        ]
        assert modes(root, "/dev/x") == ["0o755"]


def test_nodes_are_made_in_bulk_up_to_the_first_that_needs_more(build: Build, image: str) -> None:
    """The third is there already. The links that lie between are made when they are asked for."""
    number = os.makedev(1, 3)

    def work(target: Target) -> list[object]:
        tmpfs_root(target)
        target.make_symlink("/dev/x/c", "a")

        def nodes() -> Iterator[NewNode]:
            yield "/dev/x/a", stat.S_IFCHR | 0o640, number
            target.make_symlink("/dev/char/1:3", "../x/a")
            yield "/dev/x/b", stat.S_IFIFO | 0o600, 0
            yield "/dev/x/c", stat.S_IFCHR | 0o666, number
            target.make_symlink("/dev/never", "x")

        return [target.make_nodes(nodes()), told(target.make_nodes, _failing())]

    def _failing() -> Iterator[NewNode]:
        yield "/dev/x/d", stat.S_IFBLK | 0o600, number
        raise OSError(errno.ENOSPC, "no space", "/dev/char/1:3")

    with build(work) as (root, result):
        assert result == [2, "ENOSPC /dev/char/1:3"]
        assert root.listdir("/dev/x") == ["a", "b", "c", "d"]
        assert root.listdir("/dev") == ["char", "x"]
        found = [root.lstat(f"/dev/x/{name}") for name in "abd"]
        assert [(oct(each.st_mode), each.st_rdev, each.st_uid, each.st_gid) for each in found] == [
            ("0o20640", number, 0, 0),
            ("0o10600", 0, 0, 0),
            ("0o60600", number, 0, 0),
        ]


@pytest.mark.rows("S68", "S69", oracle="kernel")
@pytest.mark.rows("S7", "H2", oracle="kernel")
def test_a_name_that_is_taken_is_never_followed_nor_replaced(build: Build, image: str) -> None:
    def work(target: Target) -> list[str]:
        overlay_root(target, image)
        paths = ("/file", "/to-file", "/nowhere", "/mnt", "/", "/mnt/..")
        nodes = [told(target.make_node, path, NodeKind.CHARACTER, NULL, 0o666, 0, 0) for path in paths]
        links = [told(target.make_symlink, path, "x") for path in paths]
        return [*nodes, *links, told(target.make_symlink, "/file/x", "y"), told(target.make_symlink, "/e", "")]

    with build(work) as (root, result):
        taken = ["EEXIST /file", "EEXIST /to-file", "EEXIST /nowhere", "EEXIST /mnt", "EEXIST /", "EEXIST /mnt/.."]
        assert result == [*taken, *taken, "ENOTDIR /file", "ENOENT /e"]
        assert root.readlink("/nowhere") == "/not/there"


def test_links_are_made_with_their_parents_and_kept_as_written(build: Build) -> None:
    def work(target: Target) -> str:
        tmpfs_root(target)
        target.make_symlink("/dev/char/195:0", "../../nvidia0")
        target.make_symlink("/abs", "/../../etc")
        target.seal("/")
        return told(target.make_symlink, "/late", "x")

    with build(work) as (root, result):
        assert result == "EROFS /late"
        assert root.readlink("/dev/char/195:0") == "../../nvidia0"
        assert root.readlink("/abs") == "/../../etc"
        assert modes(root, "/dev/char") == ["0o755"]


# looking


def test_look_says_what_is_there_and_does_not_follow_the_last(build: Build, image: str) -> None:
    os.chmod(f"{image}/file", 0o4750)

    def work(target: Target) -> list[str]:
        overlay_root(target, image)
        target.make_node("/dev/n", NodeKind.BLOCK, DeviceNumber(7, 1), 0o660, 0, 6)
        rows = []
        for path in ("/file", "/to-file", "/pipe", "/dev/n", "/to-mnt", "/to-mnt/", "/up/..", "/"):
            seen = target.look(path)
            assert seen is not None
            rows.append(f"{seen.kind.value} {seen.mode:o} {seen.uid}:{seen.gid} {seen.number} {seen.link}")
        return rows

    with build(work) as (_, result):
        ours = f"{os.getuid()}:{os.getgid()}"
        assert result[0] == f"- 4750 {ours} None None"
        assert result[1] == f"l 777 {ours} None file"
        assert result[2].startswith("p ")
        assert result[3] == "b 660 0:6 7:1 None"
        assert result[4] == result[5] == f"l 777 {ours} None /mnt"
        assert result[6] == result[7]
        assert result[7].startswith("d ")


@pytest.mark.parametrize("source_is_mounted", [True, False], ids=["look", "look_in"])
def test_look_at_what_is_missing_or_cannot_be_reached(build: Build, image: str, source_is_mounted: bool) -> None:
    paths = ("/missing", "/missing/below", "/nowhere/x", "/out/x", "/file/below", "/loop/x", "/out", "/../../file")

    def work(target: Target) -> list[str]:
        source = target.open_source(image)
        answers = [told(target.look_in, source, path) for path in paths]
        target.attach(target.overlay(source), "/")
        return [told(target.look, path) for path in paths] if source_is_mounted else answers

    with build(work) as (_, result):
        assert result[:6] == ["None", "None", "None", "None", "ENOTDIR /file", "ELOOP /loop"]
        assert "SYMLINK" in result[6]
        assert "REGULAR" in result[7]


def test_list_directory(build: Build, image: str) -> None:
    def work(target: Target) -> list[str]:
        overlay_root(target, image)
        target.attach(tmpfs(target), "/dev")
        names = [",".join(sorted(target.list_directory(path))) for path in ("/etc", "/to-mnt", "/dev", "/srv/")]
        return names + [told(target.list_directory, path) for path in ("/missing", "/file", "/loop", "/nowhere")]

    with build(work) as (_, result):
        assert result == ["name", "", "", "deep", "ENOENT /missing", "ENOTDIR /file", "ELOOP /loop", "ENOENT /nowhere"]


# numbers


@pytest.mark.rows("S72", "S80", oracle="kernel")
def test_the_hosts_majors_win_and_others_are_reserved_once(build: Build) -> None:
    def work(target: Target) -> list[str]:
        tmpfs_root(target)
        asked: tuple[Identity, ...] = (
            OfDriver("nvidia", 3),
            OfDriver("nvidia-frontend", 255),
            OfDriver("nvidia-uvm", 0),
            OfDriver("nvidia-caps", 1),
            OfDriver("nvidia-uvm", 1),
            Fixed(DeviceNumber(10, 200)),
        )
        return [f"{answer.number} {answer.reserved}" for answer in map(target.number_of, asked)]

    host = HOST._replace(character=(*HOST.character, MajorLine(254, "taken")))
    with build(work, host) as (_, result):
        assert result == ["195:3 False", "195:255 False", "253:0 True", "252:1 True", "253:1 True", "10:200 False"]


def test_a_node_like_a_recorded_hosts_has_its_number_and_one_that_is_lacking_is_never_made_up(build: Build) -> None:
    def work(target: Target) -> list[str]:
        asked = (
            LikeHost("/dev/vfio/7"),
            LikeHost("/dev/vfio/7", DeviceNumber(1, 2)),
            LikeHost("/dev/accel0"),
            LikeHost("/dev/loop"),
        )
        answers = [told(target.number_of, identity) for identity in asked]
        tmpfs_root(target)
        return answers

    nodes = (
        HostNode("/dev/vfio/7", NodeKind.CHARACTER, DeviceNumber(465, 2), 0o600, 0, 0),
        HostNode("/dev/loop", NodeKind.BLOCK, DeviceNumber(7, 0), 0o600, 0, 0),
    )
    with build(work, HOST._replace(nodes=nodes, simulated=True)) as (_, result):
        found = str(NumberFound(DeviceNumber(465, 2), reserved=False))
        assert result == [found, found, "ENOENT /dev/accel0", "ENOENT /dev/loop"]


# the finished root


def test_a_root_reads_like_os(build: Build, image: str) -> None:
    def work(target: Target) -> None:
        overlay_root(target, image)
        target.make_node("/dev/null", NodeKind.CHARACTER, NULL, 0o666, 0, 0)

    with build(work) as (root, _):
        assert root.listdir("/") == sorted(os.listdir(image))
        assert root.read_bytes("/to-file") == b"a file\n"
        assert stat.S_ISLNK(root.lstat("/to-file").st_mode)
        assert root.stat("/to-file").st_size == 7
        assert root.stat("/up").st_ino == root.stat("/mnt").st_ino
        answers = {
            "stat": [told(root.stat, path) for path in ("/missing", "/file/x", "/loop", "/out")],
            "read": [told(root.read_bytes, path) for path in ("/dev/null", "/etc", "/pipe", "/missing")],
            "link": [told(root.readlink, path) for path in ("/file", "/missing")],
            "list": [told(root.listdir, path) for path in ("/file", "/missing")],
        }
        assert answers == {
            "stat": ["ENOENT /missing", "ENOTDIR /file/x", "ELOOP /loop", "ENOENT /out"],
            "read": ["EINVAL /dev/null", "EINVAL /etc", "EINVAL /pipe", "ENOENT /missing"],
            "link": ["EINVAL /file", "ENOENT /missing"],
            "list": ["ENOTDIR /file", "ENOENT /missing"],
        }
        assert not root.simulated


def test_a_root_of_a_recorded_host_says_so(build: Build) -> None:
    with build(tmpfs_root, HOST._replace(simulated=True)) as (root, _):
        assert root.simulated
