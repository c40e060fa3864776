"""File systems, overlays and sources on the kernel, each verb on every way that this kernel has."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from devproxy.mount_options import Attribute, Change
from devproxy.node import NodeKind
from devproxy.targets.kernel.paths import KernelPaths
from devproxy.targets.kernel.target import KernelTarget
from tests.devproxy.targets_kernel.rig import (
    NO_CHANGE,
    bind_root,
    build,
    make_rootfs,
    new_namespaces,
    overlay_root,
    table,
    tmpfs,
    tmpfs_root,
)
from tests.devproxy.targets_kernel.verbs import NULL, errno_of

pytestmark = pytest.mark.root


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
