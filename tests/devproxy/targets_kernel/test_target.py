"""The verbs on the kernel, each on every way that this kernel has."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from devproxy.mount_options import Attribute, Change, Propagation
from devproxy.node import DeviceNumber, NodeKind
from devproxy.targets.kernel.paths import KernelPaths
from devproxy.targets.kernel.target import KernelTarget
from devproxy.targets.target import FileKind, Look
from tests.devproxy.targets_kernel.rig import (
    EVERY_WAY,
    NO_CHANGE,
    bind_root,
    build,
    make_rootfs,
    new_namespaces,
    overlay_root,
    table,
    tmpfs,
    tmpfs_root,
    usable,
)

pytestmark = pytest.mark.root

NULL = DeviceNumber(1, 3)


@pytest.fixture(params=EVERY_WAY)
def paths(request: pytest.FixtureRequest) -> KernelPaths:
    usable(request.param)
    assert isinstance(request.param, KernelPaths)
    return request.param


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    return make_rootfs(tmp_path)


def errno_of(call: Any, *arguments: Any, **options: Any) -> str:
    """The name of the errno that a verb raises, or what it returns."""
    try:
        return str(call(*arguments, **options))
    except OSError as error:
        return errno.errorcode[error.errno or 0]


# file systems


def test_the_root_holds_what_was_mounted_and_nothing_else(paths: KernelPaths, rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    quiet = Change(Attribute.NOSUID | Attribute.NODEV | Attribute.NOEXEC)

    def work(target: KernelTarget) -> list[str]:
        data = target.open_source(str(tmp_path / "data"))
        overlay_root(target, rootfs)
        target.attach(target.filesystem("proc", "proc", quiet, (), ()), "/proc")
        target.attach(target.filesystem("sysfs", "sysfs", quiet, (), ()), "/sys")
        target.attach(target.filesystem("devtmpfs", "dev", Change(Attribute.STRICTATIME, atime=True), (), ()), "/dev")
        target.make_directory("/dev/pts", 0o755)
        target.make_directory("/dev/mqueue", 0o1777)
        target.attach(
            target.filesystem("devpts", "devpts", quiet, (), ("newinstance", "gid=5", "mode=0620")), "/dev/pts"
        )
        target.attach(target.filesystem("mqueue", "mqueue", quiet, (), ()), "/dev/mqueue")
        mount = target.bind(data, recursive=True)
        target.change(mount, Change(Attribute.RDONLY | Attribute.NOEXEC), recursive=False)
        target.attach(mount, "/mnt")
        return target.list_directory("/dev/pts")

    with build(work, namespaces=new_namespaces("pid", "ipc", "network"), paths=paths) as root:
        mounts = table(root)
        assert root.outcomes == ["ptmx"]
        assert root.listdir("/dev") == ["mqueue", "pts"]
        assert stat.S_IMODE(root.stat("/dev/mqueue").st_mode) == 0o1777
    assert [mount[:2] for mount in mounts[:-1]] == [
        ("/", "overlay"),
        ("/proc", "proc"),
        ("/sys", "sysfs"),
        ("/dev", "tmpfs"),
        ("/dev/pts", "devpts"),
        ("/dev/mqueue", "mqueue"),
    ]
    assert mounts[1][2] == ("rw", "nosuid", "nodev", "noexec", "relatime")
    assert mounts[3][2] == ("rw",)
    assert mounts[-1][0] == "/mnt"
    assert mounts[-1][2][0] == "ro"
    assert "noexec" in mounts[-1][2]


@pytest.mark.rows("S54", oracle="kernel")
def test_flags_and_data_reach_the_file_system(paths: KernelPaths, rootfs: Path) -> None:
    def work(target: KernelTarget) -> None:
        bind_root(target, rootfs)
        mount = target.filesystem(
            "tmpfs", "a name", NO_CHANGE, ("sync", "dirsync"), ("size=64k", "mode=0700", "nr_inodes=9")
        )
        target.attach(mount, "/mnt")

    with build(work, paths=paths) as root:
        line = root.mountinfo()[-1]
        assert (line.fstype, line.source) == ("tmpfs", "a name")
        assert {"sync", "dirsync", "size=64k", "mode=700", "nr_inodes=9"} <= set(line.super_options)


@pytest.mark.rows("S54", oracle="kernel")
@pytest.mark.parametrize(
    ("fstype", "data", "number", "words"),
    [
        ("no-such-type", (), errno.ENODEV, "No such device"),
        ("tmpfs", ("size=lots",), errno.EINVAL, "Bad value for 'size'"),
        ("tmpfs", ("colour=red",), errno.EINVAL, "Unknown parameter 'colour'"),
        ("tmpfs", ("a\0b",), errno.EINVAL, "NUL"),
    ],
)
def test_a_file_system_says_what_it_did_not_like(fstype: str, data: tuple[str, ...], number: int, words: str) -> None:
    with pytest.raises(OSError, match=words) as caught:
        build(lambda target: target.filesystem(fstype, fstype, NO_CHANGE, (), data))
    assert caught.value.errno == number


@pytest.mark.rows("S8", oracle="kernel")
def test_devtmpfs_is_never_the_hosts(paths: KernelPaths, rootfs: Path) -> None:
    def work(target: KernelTarget) -> list[Any]:
        bind_root(target, rootfs)
        target.attach(target.filesystem("devtmpfs", "devtmpfs", NO_CHANGE, (), ("mode=755", "size=65536k")), "/dev")
        return target.list_directory("/dev")

    with build(work, paths=paths) as root:
        assert root.outcomes == []
        assert stat.S_IMODE(root.stat("/dev").st_mode) == 0o755
        assert root.stat("/dev").st_dev != os.stat("/dev").st_dev


def test_each_devpts_is_one_of_its_own() -> None:
    def work(target: KernelTarget) -> None:
        tmpfs_root(target)
        for name in ("/a", "/b"):
            target.make_directory(name, 0o755)
            target.attach(target.filesystem("devpts", "devpts", NO_CHANGE, (), ()), name)

    with build(work) as root:
        devices = {root.stat("/a").st_dev, root.stat("/b").st_dev, os.stat("/dev/pts").st_dev}
    assert len(devices) == 3


# the overlay


@pytest.mark.rows("S45", "S46", oracle="kernel")
def test_an_overlay_shows_the_lower_owner_and_mode_and_leaves_it_alone(paths: KernelPaths, rootfs: Path) -> None:
    os.chown(rootfs, 5, 6)
    rootfs.chmod(0o1750)
    before = sorted(os.listdir(rootfs))

    def work(target: KernelTarget) -> None:
        overlay_root(target, rootfs)
        target.make_directory("/new", 0o755)
        target.make_node("/etc/null", NodeKind.CHARACTER, NULL, 0o600, 0, 0)

    with build(work, paths=paths) as root:
        found = root.stat("/")
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (5, 6, 0o1750)
        assert root.listdir("/") == sorted([*before, "new"])
        assert root.read_bytes("/etc/name") == b"lower\n"
    assert sorted(os.listdir(rootfs)) == before
    assert os.listdir(rootfs / "etc") == ["name"]


def test_an_overlay_of_a_path_with_every_separator_of_options(paths: KernelPaths, tmp_path: Path) -> None:
    rootfs = make_rootfs(tmp_path / "a:b,c\\d e")

    with build(lambda target: overlay_root(target, rootfs), paths=paths) as root:
        assert root.read_bytes("/etc/name") == b"lower\n"


# attaching


@pytest.mark.parametrize("link", ["/to-mnt", "/up", "/srv/../to-mnt", "/../../mnt"])
def test_a_final_link_is_followed_inside_the_root(paths: KernelPaths, rootfs: Path, link: str) -> None:
    def work(target: KernelTarget) -> None:
        bind_root(target, rootfs)
        target.attach(tmpfs(target), link)

    with build(work, paths=paths) as root:
        assert table(root)[-1][:2] == ("/mnt", "tmpfs")


@pytest.mark.rows("S53", "H23", oracle="kernel")
def test_kinds_have_to_match(paths: KernelPaths, rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("data")

    def work(target: KernelTarget) -> list[Any]:
        file = target.bind(target.open_source(str(tmp_path / "data")), recursive=False)
        bind_root(target, rootfs)
        answers: list[Any] = [
            errno_of(target.attach, file, "/mnt"),
            errno_of(target.attach, file, "/missing"),
            errno_of(target.attach, file, "/file/below"),
            errno_of(target.attach, file, "/nowhere"),
            errno_of(target.attach, tmpfs(target), "/file"),
            errno_of(target.attach, tmpfs(target), "/missing"),
        ]
        target.attach(file, "/file")
        return answers

    with build(work, paths=paths) as root:
        assert root.outcomes == ["EISDIR", "ENOENT", "ENOTDIR", "ENOENT", "ENOTDIR", "ENOENT"]
        assert root.read_bytes("/file") == b"data"


def test_a_recursive_bind_brings_what_is_mounted_below(paths: KernelPaths, rootfs: Path) -> None:
    def work(target: KernelTarget) -> list[Any]:
        whole, alone = target.open_source("/sys"), target.open_source("/sys")
        bind_root(target, rootfs)
        target.attach(target.bind(whole, recursive=True), "/mnt")
        target.attach(target.bind(alone, recursive=False), "/srv")
        return []

    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        below = sum(line.split()[4].startswith("/sys/") for line in file)
    with build(work, paths=paths) as root:
        points = [point for point, _, _ in table(root)]
    assert sum(point.startswith("/mnt/") for point in points) == below > 0
    assert not any(point.startswith("/srv/") for point in points)


def test_a_recursive_change_reaches_every_mount_below(paths: KernelPaths, rootfs: Path) -> None:
    def work(target: KernelTarget) -> None:
        source = target.open_source("/sys")
        bind_root(target, rootfs)
        mount = target.bind(source, recursive=True)
        target.change(mount, Change(Attribute.RDONLY | Attribute.NOATIME, atime=True), recursive=True)
        target.attach(mount, "/mnt")

    with build(work, paths=paths) as root:
        options = [options for point, _, options in table(root) if point.startswith("/mnt")]
    assert len(options) > 1
    assert all("ro" in each and "noatime" in each for each in options)


def test_a_change_clears_what_it_says(paths: KernelPaths, rootfs: Path) -> None:
    def work(target: KernelTarget) -> None:
        bind_root(target, rootfs)
        mount = tmpfs(target, change=Change(Attribute.NOSUID | Attribute.NOATIME, atime=True))
        target.change(mount, Change(clear=Attribute.NOSUID, atime=True), recursive=False)
        target.attach(mount, "/mnt")

    with build(work, paths=paths) as root:
        assert table(root)[-1][2] == ("rw", "relatime")


def test_the_last_mount_is_on_top(paths: KernelPaths, rootfs: Path) -> None:
    def work(target: KernelTarget) -> None:
        bind_root(target, rootfs)
        for mode in ("mode=0700", "mode=0711"):
            target.attach(tmpfs(target, mode), "/mnt")

    with build(work, paths=paths) as root:
        assert stat.S_IMODE(root.stat("/mnt").st_mode) == 0o711


def test_the_first_mount_is_the_root() -> None:
    with pytest.raises(OSError) as caught:
        build(lambda target: target.attach(tmpfs(target), "/mnt"))
    assert caught.value.errno == errno.EINVAL


@pytest.mark.rows("H24", oracle="kernel")
@pytest.mark.parametrize(
    ("propagation", "tag"),
    [(Propagation.SHARED, "shared"), (Propagation.PRIVATE, None), (Propagation.UNBINDABLE, "unbindable")],
)
@pytest.mark.parametrize("path", ["/mnt", "/"])
def test_propagation_is_set(
    paths: KernelPaths, rootfs: Path, propagation: Propagation, tag: str | None, path: str
) -> None:
    def work(target: KernelTarget) -> None:
        bind_root(target, rootfs)
        target.attach(tmpfs(target), "/mnt")
        target.propagate(path, propagation, recursive=False)

    with build(work, paths=paths) as root:
        line = next(line for line in root.mountinfo() if line.mount_point == path)
    assert [each.partition(":")[0] for each in line.tags] == ([tag] if tag else [])


def test_a_bind_is_a_slave_where_the_host_shares(rootfs: Path) -> None:
    """What is mounted inside never shows outside, whatever the host shares."""

    def work(target: KernelTarget) -> None:
        host = target.bind(target.open_source("/"), recursive=True)
        bind_root(target, rootfs)
        target.attach(host, "/mnt")
        target.attach(tmpfs(target), "/mnt/tmp")

    with build(work) as root:
        assert not any("shared" in tag for line in root.mountinfo() for tag in line.tags)


# names


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


# sealing and hiding


def test_a_seal_is_for_the_topmost_mount(paths: KernelPaths, rootfs: Path) -> None:
    def work(target: KernelTarget) -> list[Any]:
        bind_root(target, rootfs)
        target.attach(tmpfs(target), "/mnt")
        target.attach(tmpfs(target), "/mnt")
        target.make_directory("/mnt/below", 0o755)
        target.attach(tmpfs(target), "/mnt/below")
        target.seal("/to-mnt")
        target.seal("/")
        return [errno_of(target.seal, "/etc"), errno_of(target.seal, "/missing")]

    with build(work, paths=paths) as root:
        assert root.outcomes == ["EINVAL", "ENOENT"]
        assert [(point, options[0]) for point, _, options in table(root)] == [
            ("/", "ro"),
            ("/mnt", "rw"),
            ("/mnt", "ro"),
            ("/mnt/below", "rw"),
        ]


def test_a_mount_that_is_written_is_not_sealed(rootfs: Path) -> None:
    def work(target: KernelTarget) -> None:
        bind_root(target, rootfs)
        target.attach(tmpfs(target), "/mnt")
        target.make_mount_point("/mnt/file", directory=False)
        assert target._tree is not None
        target._tree.open("/mnt/file", os.O_WRONLY)
        target.seal("/mnt")

    with pytest.raises(OSError) as caught:
        build(work)
    assert (caught.value.errno, caught.value.filename) == (errno.EBUSY, "/mnt")


def test_a_path_is_sealed_with_what_is_mounted_below(paths: KernelPaths, rootfs: Path) -> None:
    def work(target: KernelTarget) -> list[Any]:
        overlay_root(target, rootfs)
        target.attach(tmpfs(target, change=Change(Attribute.NOSUID)), "/srv/deep")
        return [target.seal_path(path) for path in ("/srv", "/file", "/missing", "/file/x", "/nowhere")]

    with build(work, paths=paths) as root:
        assert root.outcomes == [True, True, False, False, False]
        assert [(point, options[0]) for point, _, options in table(root)[2:]] == [
            ("/srv", "ro"),
            ("/srv/deep", "ro"),
            ("/file", "ro"),
        ]
        assert "nosuid" in table(root)[3][2]


def test_a_masked_file_is_the_null_device_and_a_masked_directory_is_empty(paths: KernelPaths, rootfs: Path) -> None:
    # What the root calls /dev/null is the attacker's: the mask must not be made of it.
    (rootfs / "dev/null").symlink_to("/etc/name")

    def work(target: KernelTarget) -> list[Any]:
        overlay_root(target, rootfs)
        return [target.mask(path) for path in ("/file", "/etc", "/srv", "/missing", "/file/x")]

    with build(work, paths=paths) as root:
        assert root.outcomes == [True, True, True, False, False]
        found = root.stat("/file")
        assert (stat.S_ISCHR(found.st_mode), found.st_rdev) == (True, NULL.rdev)
        assert (root.listdir("/etc"), root.listdir("/srv")) == ([], [])
        assert [options[0] for point, _, options in table(root) if point in ("/etc", "/srv")] == ["ro", "ro"]


def test_a_covered_file_shows_what_it_is_given_in_every_way(paths: KernelPaths, rootfs: Path) -> None:
    def work(target: KernelTarget) -> list[Any]:
        overlay_root(target, rootfs)
        return [target.cover(path, b"ours" * 1000, 0o440) for path in ("/file", "/etc/name", "/missing")]

    with build(work, paths=paths) as root:
        assert root.outcomes == [True, True, False]
        assert root.read_bytes("/file") == root.read_bytes("/etc/name") == b"ours" * 1000
        assert stat.S_IMODE(root.stat("/file").st_mode) == 0o440
        assert sorted(point for point, _, _ in table(root)) == ["/", "/etc/name", "/file"]


# sources


@pytest.mark.rows("S21", "S30", oracle="specification")
def test_every_source_is_used_exactly_once(rootfs: Path) -> None:
    def leftover(target: KernelTarget) -> None:
        target.open_source(str(rootfs / "etc"))
        bind_root(target, rootfs)

    def twice(target: KernelTarget) -> None:
        source = target.open_source(str(rootfs))
        target.bind(source, recursive=False)
        target.overlay(source)

    with pytest.raises(OSError) as caught:
        build(leftover)
    assert (caught.value.errno, caught.value.filename) == (errno.EBUSY, str(rootfs / "etc"))
    with pytest.raises(OSError) as caught:
        build(twice)
    assert (caught.value.errno, caught.value.filename) == (errno.EBADF, str(rootfs))


def test_a_source_is_found_as_the_host_finds_it(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "directory")
    os.mkfifo(tmp_path / "fifo")

    def work(target: KernelTarget) -> list[Any]:
        tmpfs_root(target)
        kinds = []
        for number, name in enumerate(("link", "fifo")):
            source = target.open_source(str(tmp_path / name))
            kinds.append(source.is_directory)
            target.make_mount_point(f"/{number}", directory=source.is_directory)
            target.attach(target.bind(source, recursive=False), f"/{number}")
        return [*kinds, errno_of(target.open_source, str(tmp_path / "missing"))]

    with build(work) as root:
        assert root.outcomes == [True, False, "ENOENT"]


@pytest.mark.parametrize("length", [5_000, 70_000])
def test_a_path_that_is_too_long_is_refused(length: int) -> None:
    def work(target: KernelTarget) -> list[Any]:
        tmpfs_root(target)
        path = "/" + "x" * length
        return [
            errno_of(call)
            for call in (
                lambda: target.open_source(path),
                lambda: target.attach(tmpfs(target), path),
                lambda: target.make_mount_point(path, directory=True),
                lambda: target.make_node(path, NodeKind.CHARACTER, NULL, 0o666, 0, 0),
                lambda: target.make_symlink("/link", path),
                lambda: target.look(path),
            )
        ]

    with build(work) as root:
        assert root.outcomes == ["ENAMETOOLONG"] * 6
