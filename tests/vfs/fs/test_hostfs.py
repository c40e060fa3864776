"""hostfs: what a directory of the machine looks like through descriptors, and what it can never do."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vfs.credentials import ROOT, Credentials
from vfs.device import DeviceKind, DeviceNumber, OpenDevice, Registration
from vfs.file import File
from vfs.fs.hostfs import HostFilesystem, HostfsOptions, HostfsType
from vfs.fs.hostfs.descriptors import LIMIT
from vfs.fs.static import Synthetic, SyntheticParent
from vfs.mount import Mount, VirtualDentry
from vfs.options import MkdirOptions, MknodOptions, MountOptions, OpenOptions, RenameOptions, SetStat
from vfs.resolve import PathOperation
from vfs.virtual_filesystem import VirtualFilesystem


class World:
    """A tree of the machine as the root of a VFS."""

    def __init__(self, path: Path, *, writable: bool = False, recursive: bool = True, fifos: bool = False) -> None:
        self.vfs = VirtualFilesystem()
        self.vfs.register_filesystem_type(HostfsType())
        self.mount = self.show(path, writable=writable, recursive=recursive, fifos=fifos)
        self.root = VirtualDentry(self.mount, self.mount.root)

    def show(self, path: Path, *, writable: bool = False, recursive: bool = True, fifos: bool = False) -> Mount:
        fd = os.open(path, os.O_PATH)
        try:
            options = HostfsOptions(fd, writable=writable, recursive=recursive, fifos=fifos)
            return self.vfs.mount_disconnected(ROOT, "host", "hostfs", MountOptions(internal=options))
        finally:
            os.close(fd)

    def at(self, path: str, *, follow: bool = True) -> PathOperation:
        return PathOperation(self.root, self.root, path, follow)

    def stat(self, path: str, *, follow: bool = True) -> os.stat_result:
        return self.vfs.stat_at(ROOT, self.at(path, follow=follow))

    def open(self, path: str, flags: int = os.O_RDONLY, mode: int = 0o644, creds: Credentials = ROOT) -> File:
        return self.vfs.open_at(creds, self.at(path), OpenOptions(flags, mode))

    def listdir(self, path: str) -> list[str]:
        return sorted(self.vfs.listdir_at(ROOT, self.at(path)))


MakeWorld = Callable[..., World]


@pytest.fixture
def world() -> Iterator[MakeWorld]:
    worlds: list[World] = []

    def make(path: Path, *, writable: bool = False, recursive: bool = True, fifos: bool = False) -> World:
        worlds.append(World(path, writable=writable, recursive=recursive, fifos=fifos))
        return worlds[-1]

    yield make
    for each in worlds:
        each.vfs.discard_mount(each.mount)


def test_attributes_contents_and_links_are_those_of_the_machine(world: MakeWorld, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o750)
    (tmp_path / "d" / "f").write_bytes(b"hello")
    os.utime(tmp_path / "d" / "f", (1, 2))
    (tmp_path / "l").symlink_to("d/f")
    view = world(tmp_path)
    for path in ("", "d", "d/f"):
        ours, theirs = view.stat("/" + path), os.stat(tmp_path / path)
        for field in ("st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks", "st_mtime_ns"):
            assert getattr(ours, field) == getattr(theirs, field), (path, field)
    assert view.stat("/l") == view.stat("/d/f")
    assert view.vfs.readlink_at(ROOT, view.at("/l")) == "d/f"
    assert view.listdir("/") == ["d", "l"]
    with view.open("/l") as file:
        assert file.read() == b"hello"


def test_links_and_dots_never_leave_the_root(world: MakeWorld, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("outside")
    inside = tmp_path / "inside"
    (inside / "deep").mkdir(parents=True)
    for name, target in {
        "abs": str(tmp_path / "secret"),
        "up": "../secret",
        "deep/up": "../../../../../../../../etc",
        "passwd": "/etc/passwd",
    }.items():
        (inside / name).symlink_to(target)
    view = world(inside)
    for path in ("/abs", "/up", "/deep/up", "/passwd", "/../secret", "/deep/../../secret"):
        with pytest.raises(FileNotFoundError):
            view.stat(path)


def test_a_name_swapped_for_a_link_is_not_followed(world: MakeWorld, tmp_path: Path) -> None:
    """The directory a walk went through is held by descriptor, and its names are looked up without following."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "f").write_text("outside")
    inside = tmp_path / "inside"
    (inside / "d").mkdir(parents=True)
    (inside / "d" / "f").write_text("inside")
    view = world(inside)
    directory = view.vfs.get_dentry_at(ROOT, view.at("/d"))
    view.stat("/d/f")
    (inside / "d").rename(inside / "moved")
    (inside / "d").symlink_to(tmp_path / "secret")
    here = PathOperation(view.root, directory, "f")
    with view.vfs.open_at(ROOT, here, OpenOptions(os.O_RDONLY)) as file:
        assert file.read() == b"inside"
    with pytest.raises(FileNotFoundError):
        view.stat("/d/f")


def test_a_descriptor_that_fell_out_is_not_found_again_by_a_name_that_means_another(
    world: MakeWorld, tmp_path: Path
) -> None:
    for index in range(LIMIT + 1):
        (tmp_path / f"d{index}").mkdir()
    view = world(tmp_path)
    directory = view.vfs.get_dentry_at(ROOT, view.at("/d0"))
    view.listdir("/d0")
    for index in range(1, LIMIT + 1):
        view.listdir(f"/d{index}")
    (tmp_path / "d0").rename(tmp_path / "gone")
    (tmp_path / "d0").mkdir()
    with pytest.raises(OSError) as stale:
        list(directory.dentry.inode.iterate())
    assert stale.value.errno == errno.ESTALE
    assert view.listdir("/d0") == []


def test_names_that_change_behind_our_back_are_seen(world: MakeWorld, tmp_path: Path) -> None:
    view = world(tmp_path)
    with pytest.raises(FileNotFoundError):
        view.stat("/f")
    (tmp_path / "f").write_text("1")
    first = view.vfs.get_dentry_at(ROOT, view.at("/f")).dentry.inode
    (tmp_path / "f").chmod(0o600)
    assert view.stat("/f").st_mode == stat.S_IFREG | 0o600
    assert view.vfs.get_dentry_at(ROOT, view.at("/f")).dentry.inode is first
    (tmp_path / "f").unlink()
    (tmp_path / "f").mkdir()
    assert stat.S_ISDIR(view.stat("/f").st_mode)


def test_two_names_of_one_file_are_one_inode(world: MakeWorld, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    view = world(tmp_path)
    a, b = (view.vfs.get_dentry_at(ROOT, view.at(name)).dentry.inode for name in ("/a", "/b"))
    assert a is b
    assert view.stat("/a").st_nlink == 2


CHANGES: dict[str, Callable[[World], object]] = {
    "mkdir": lambda view: view.vfs.mkdir_at(ROOT, view.at("/new")),
    "mknod": lambda view: view.vfs.mknod_at(ROOT, view.at("/new"), MknodOptions(stat.S_IFREG | 0o644)),
    "symlink": lambda view: view.vfs.symlink_at(ROOT, view.at("/new"), "f"),
    "link": lambda view: view.vfs.link_at(ROOT, view.at("/f"), view.at("/new")),
    "unlink": lambda view: view.vfs.unlink_at(ROOT, view.at("/f")),
    "rmdir": lambda view: view.vfs.rmdir_at(ROOT, view.at("/d")),
    "rename": lambda view: view.vfs.rename_at(ROOT, view.at("/f"), view.at("/new"), RenameOptions()),
    "chmod": lambda view: view.vfs.set_stat_at(ROOT, view.at("/f"), SetStat(mode=0)),
    "truncate": lambda view: view.vfs.set_stat_at(ROOT, view.at("/f"), SetStat(size=0)),
    "setxattr": lambda view: view.vfs.setxattr_at(ROOT, view.at("/f"), "user.a", b"x"),
    "removexattr": lambda view: view.vfs.removexattr_at(ROOT, view.at("/f"), "user.a"),
    "open": lambda view: view.open("/f", os.O_WRONLY),
    "create": lambda view: view.open("/new", os.O_WRONLY | os.O_CREAT),
}


@pytest.mark.parametrize("change", CHANGES)
def test_not_writable_nothing_of_the_machine_changes(world: MakeWorld, tmp_path: Path, change: str) -> None:
    (tmp_path / "f").write_text("hello")
    (tmp_path / "d").mkdir()
    before = {each.name: each.lstat() for each in tmp_path.iterdir()}
    with pytest.raises(OSError) as refused:
        CHANGES[change](world(tmp_path))
    assert refused.value.errno == errno.EROFS
    assert {each.name: each.lstat() for each in tmp_path.iterdir()} == before


def test_synthetic_names_live_in_memory_and_take_mounts(world: MakeWorld, tmp_path: Path) -> None:
    view = world(tmp_path)
    root = view.root.dentry.inode
    assert isinstance(root, SyntheticParent)
    root.make_synthetic("made", Synthetic(stat.S_IFDIR | 0o755))
    root.make_synthetic("null", Synthetic(stat.S_IFCHR | 0o666, 1, 2, os.makedev(1, 3)))
    inner = view.vfs.get_dentry_at(ROOT, view.at("/made")).dentry.inode
    assert isinstance(inner, SyntheticParent)
    inner.make_synthetic("link", Synthetic(stat.S_IFLNK | 0o777, target="../null"))
    assert view.listdir("/") == ["made", "null"]
    assert view.stat("/made/link").st_rdev == os.makedev(1, 3)
    assert list(tmp_path.iterdir()) == []
    view.vfs.connect_mount_at(ROOT, view.show(tmp_path), view.at("/made"))
    assert view.listdir("/made") == []


@pytest.mark.root
def test_writable_changes_arrive_on_the_machine(world: MakeWorld, tmp_path: Path) -> None:
    view = world(tmp_path, writable=True)
    vfs = view.vfs
    vfs.mkdir_at(ROOT, view.at("/d"), MkdirOptions(0o1777))
    with view.open("/d/f", os.O_RDWR | os.O_CREAT, 0o664) as file:
        file.write(b"hello")
        assert file.stat().st_size == 5
    vfs.link_at(ROOT, view.at("/d/f"), view.at("/d/g"))
    vfs.symlink_at(ROOT, view.at("/d/l"), "f")
    vfs.mknod_at(ROOT, view.at("/d/p"), MknodOptions(stat.S_IFIFO | 0o622))
    vfs.rename_at(ROOT, view.at("/d/g"), view.at("/moved"))
    vfs.set_stat_at(ROOT, view.at("/moved"), SetStat(mode=0o640, size=2, mtime_ns=7_000_000_000))
    vfs.unlink_at(ROOT, view.at("/d/f"))
    assert (tmp_path / "moved").read_bytes() == b"he"
    found = (tmp_path / "moved").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_nlink, found.st_mtime) == (0o640, 1, 7)
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o1777
    assert (tmp_path / "d" / "p").is_fifo()
    assert os.readlink(tmp_path / "d" / "l") == "f"
    vfs.unlink_at(ROOT, view.at("/d/p"))
    vfs.unlink_at(ROOT, view.at("/d/l"))
    vfs.rmdir_at(ROOT, view.at("/d"))
    assert os.listdir(tmp_path) == ["moved"]
    vfs.setxattr_at(ROOT, view.at("/moved"), "user.a", b"x")
    assert os.getxattr(tmp_path / "moved", "user.a") == vfs.getxattr_at(ROOT, view.at("/moved"), "user.a") == b"x"


@pytest.mark.root
def test_what_is_made_belongs_to_who_made_it_whatever_the_process_has_as_umask(
    world: MakeWorld, tmp_path: Path
) -> None:
    view, old = world(tmp_path, writable=True), os.umask(0o077)
    try:
        tmp_path.chmod(0o777)
        with view.open("/f", os.O_WRONLY | os.O_CREAT, 0o666, Credentials(1234, 5678)):
            pass
    finally:
        os.umask(old)
    found = (tmp_path / "f").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o666, 1234, 5678)


class Recorder:
    """A driver that remembers what was opened."""

    def __init__(self) -> None:
        self.opened: list[DeviceNumber] = []

    def open(self, number: DeviceNumber, flags: int) -> OpenDevice:
        self.opened.append(number)
        return OpenDevice()


@pytest.mark.root
def test_a_device_node_opens_what_the_vfs_has_for_its_number(world: MakeWorld, tmp_path: Path) -> None:
    os.mknod(tmp_path / "node", stat.S_IFCHR | 0o666, os.makedev(240, 7))
    view, driver = world(tmp_path), Recorder()
    with pytest.raises(OSError) as nobody:
        view.open("/node")
    assert nobody.value.errno == errno.ENXIO
    view.vfs.devices.register(Registration(DeviceKind.CHARACTER, DeviceNumber(240, 7), driver, "test"))
    view.open("/node").close()
    assert driver.opened == [DeviceNumber(240, 7)]


def test_a_fifo_is_a_pipe_of_the_vfs(world: MakeWorld, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    view = world(tmp_path)
    with view.open("/fifo", os.O_RDONLY | os.O_NONBLOCK):
        # A writer on the machine finds no reader: ours is none of its.
        with pytest.raises(OSError) as alone:
            os.open(tmp_path / "fifo", os.O_WRONLY | os.O_NONBLOCK)
        assert alone.value.errno == errno.ENXIO


@pytest.mark.rows("S21", oracle="specification")
def test_s21_a_fifo_is_the_machines_where_that_is_asked_for(world: MakeWorld, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    view = world(tmp_path, fifos=True)
    with pytest.raises(OSError) as alone:
        view.open("/fifo", os.O_WRONLY)
    assert alone.value.errno == errno.ENXIO
    with view.open("/fifo", os.O_RDONLY) as reader:
        assert reader.read(5) == b""
        writer = os.open(tmp_path / "fifo", os.O_WRONLY | os.O_NONBLOCK)
        with pytest.raises(BlockingIOError):
            reader.read(5)
        os.write(writer, b"hello, reader")
        assert (reader.read(5), reader.read()) == (b"hello", b", reader")
        with view.open("/fifo", os.O_WRONLY) as second:
            assert second.write(b"x") == 1
        assert reader.read(5) == b"x"
        with pytest.raises(OSError) as stream:
            reader.seek(0)
        assert stream.value.errno == errno.ESPIPE
        os.close(writer)


def test_a_file_can_be_shown_alone(world: MakeWorld, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("hello")
    view = world(tmp_path / "f")
    here = PathOperation(view.root, view.root, "", allow_empty=True)
    with view.vfs.open_at(ROOT, here, OpenOptions(os.O_RDONLY)) as file:
        assert file.read() == b"hello"
    assert view.vfs.stat_at(ROOT, here).st_size == 5


def test_large_trees_need_few_descriptors(world: MakeWorld, tmp_path: Path) -> None:
    for index in range(3 * LIMIT):
        (tmp_path / f"d{index}").mkdir()
        (tmp_path / f"d{index}" / "f").write_text("x")
    view = world(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    for name in view.listdir("/"):
        assert view.listdir(f"/{name}") == ["f"]
        with view.open(f"/{name}/f") as file:
            assert file.read() == b"x"
    assert len(os.listdir("/proc/self/fd")) <= before + LIMIT


def test_deep_trees_are_walked_without_recursion(world: MakeWorld, tmp_path: Path) -> None:
    deep, fd = 1500, os.open(tmp_path, os.O_RDONLY)
    for _ in range(deep):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    view = world(tmp_path)
    place = view.root
    for _ in range(deep):
        place = view.vfs.get_dentry_at(ROOT, PathOperation(view.root, place, "d"))
    fs = view.mount.fs
    assert isinstance(fs, HostFilesystem)
    fs.descriptors.forget(fs)
    assert list(place.dentry.inode.iterate()) == []
    # Too deep for what cleans up after tests, which does recurse.
    for _ in range(deep - 1):
        (tmp_path / "d" / "d").rename(tmp_path / "next")
        (tmp_path / "d").rmdir()
        (tmp_path / "next").rename(tmp_path / "d")


@pytest.mark.root
def test_mounts_inside_are_crossed_only_if_recursive(world: MakeWorld) -> None:
    # /proc and /dev/pts lie on devices of their own on every machine.
    whole = world(Path("/"))
    assert whole.listdir("/proc") != []
    place = whole.vfs.get_dentry_at(ROOT, whole.at("/proc/sys"))
    listed = {entry.name: entry.ino for entry in place.dentry.parent.inode.iterate()}
    assert listed["sys"] == place.dentry.inode.ino != os.stat("/proc/sys").st_ino
    view = world(Path("/"), recursive=False)
    assert view.listdir("/proc") == []
    assert stat.S_ISDIR(view.stat("/proc").st_mode)
    assert (
        view.vfs.get_dentry_at(ROOT, view.at("/proc")).dentry is view.vfs.get_dentry_at(ROOT, view.at("/proc")).dentry
    )


@pytest.mark.parametrize("options", [MountOptions(), MountOptions(data="x", internal=HostfsOptions(0))])
def test_it_is_mounted_by_descriptor_only(options: MountOptions) -> None:
    vfs = VirtualFilesystem()
    vfs.register_filesystem_type(HostfsType())
    with pytest.raises(OSError) as refused:
        vfs.mount_disconnected(ROOT, "/", "hostfs", options)
    assert refused.value.errno == errno.EINVAL


def test_a_place_kept_from_before_shows_nothing_of_who_has_the_number_now(world: MakeWorld, tmp_path: Path) -> None:
    shown, other = tmp_path / "shown", tmp_path / "other"
    for directory in (shown, other):
        directory.mkdir()
        (directory / "f").touch()
    made = world(shown)
    assert isinstance(made.mount.fs, HostFilesystem)
    number = made.mount.fs.root_fd
    made.vfs.discard_mount(made.mount)
    fd = os.open(other, os.O_PATH)
    os.dup2(fd, number)
    try:
        assert made.stat("/").st_ino == shown.stat().st_ino, "as it was last seen"
        with pytest.raises(OSError) as caught:
            made.listdir("/")
        assert caught.value.errno == errno.EBADF
        with pytest.raises(OSError) as caught:
            made.stat("/f")
        assert caught.value.errno == errno.EBADF
    finally:
        os.close(number)
        if fd != number:
            os.close(fd)
