"""tmpfs: options, limits, kinds of root. Contents and names are compared with the kernel's."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vfs.world import USER, World, raises
from vfs import ROOT, MountOptions, OpenOptions, RenameOptions, SetStat, StatFilesystem
from vfs.abi import MAX_FILE_SIZE, PAGE_SIZE, RENAME_EXCHANGE, RENAME_WHITEOUT, TMPFS_MAGIC
from vfs.fs.tmpfs import TmpfsFilesystem, TmpfsOptions
from vfs.fs.tmpfs.inode import Directory, TmpfsInode
from vfs.fs.tmpfs.options import parse
from vfs.resolve import at

K = 1024


@pytest.mark.rows("S54", oracle="specification")
@pytest.mark.parametrize(
    ("data", "pages"),
    [
        ("", None),
        ("size=500", 1),
        ("size=4097", 2),
        ("size=5k", 2),
        ("size=5m", 5 * K * K // PAGE_SIZE),
        ("size=5G", 5 * K**3 // PAGE_SIZE),
        ("size=5t", 5 * K**4 // PAGE_SIZE),
        ("size=5P", 5 * K**5 // PAGE_SIZE),
        ("size=5e", 5 * K**6 // PAGE_SIZE),
        ("size=0", None),
        ("size=010000", 1),
        ("size=0x10k", 4),
        ("mpol=bind=static:0,2,size=8k", 2),
        ("nr_blocks=10", 10),
        ("nr_blocks=10,size=4k", 1),
        ("size=4k,nr_blocks=10", 10),
        ("size=1m,,size=8k", 2),
    ],
)
def test_sizes(data: str, pages: int | None) -> None:
    assert parse(data).max_pages == pages


@pytest.mark.rows("S54", oracle="specification")
def test_a_size_may_be_a_share_of_memory() -> None:
    half, whole = parse("size=50%").max_pages, parse("size=100%").max_pages
    assert half is not None
    assert whole == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // PAGE_SIZE
    assert abs(half * 2 - whole) <= 2


NO_OPTIONS = """
    size= size=5e3 size=1x size=1%% size=-1 size=+1 size=1_0 size=08 size=0x size
    nr_blocks=10% nr_blocks=x nr_inodes= mode mode=9 mode= mode=-1 mode=0o7 mode=40000000000
    uid=-1 uid=x uid=4294967296 uid=4294967295 gid= gid=\u0661 unknown=1 unknown =1 noswap=1
"""


@pytest.mark.rows("S54", oracle="specification")
@pytest.mark.parametrize("data", [*NO_OPTIONS.split(), "size= 1"])
def test_what_is_no_option_is_refused(world: World, data: str) -> None:
    world.mkdir("/m")
    with raises(errno.EINVAL):
        world.mount("/m", data)
    assert world.ns.mount_count == 1


@pytest.mark.rows("S54", oracle="specification")
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("", (0o041777, 0, 0)),
        ("mode=0700", (0o040700, 0, 0)),
        ("mode=107777,uid=5,gid=6", (0o047777, 5, 6)),
        ("mode=0,mode=1755,noswap", (0o041755, 0, 0)),
    ],
)
def test_the_roots_mode_and_owner(world: World, data: str, expected: tuple[int, int, int]) -> None:
    world.mkdir("/m")
    world.mount("/m", data)
    info = world.stat("/m")
    assert (info.st_mode, info.st_uid, info.st_gid) == expected


def test_a_root_belongs_to_who_mounts(world: World) -> None:
    mount = world.vfs.new_mount_namespace(USER, "none", "tmpfs").root_mount
    assert (mount.root.inode.uid, mount.root.inode.gid) == (1000, 1000)


@pytest.mark.parametrize(
    ("options", "mode"),
    [
        (TmpfsOptions(stat.S_IFREG), stat.S_IFREG | 0o777),
        (TmpfsOptions(stat.S_IFLNK, "/target"), stat.S_IFLNK | 0o777),
        (TmpfsOptions(), stat.S_IFDIR | 0o1777),
    ],
)
def test_a_root_may_be_a_file_or_a_link(world: World, options: TmpfsOptions, mode: int) -> None:
    mount = world.vfs.mount_disconnected(ROOT, "none", "tmpfs", MountOptions(internal=options))
    assert mount.root.inode.mode == mode
    if options.root_target:
        assert mount.root.inode.readlink() == options.root_target


@pytest.mark.parametrize("internal", [TmpfsOptions(stat.S_IFIFO), object()])
def test_other_roots_are_refused(world: World, internal: object) -> None:
    with raises(errno.EINVAL):
        world.vfs.mount_disconnected(ROOT, "none", "tmpfs", MountOptions(internal=internal))


def tmpfs(world: World, data: str) -> TmpfsFilesystem:
    world.mkdir("/m")
    fs = world.mount("/m", data).fs
    assert isinstance(fs, TmpfsFilesystem)
    return fs


@pytest.mark.rows("S55", oracle="specification")
def test_a_full_file_system_takes_what_fits(world: World) -> None:
    fs = tmpfs(world, "size=8k")
    with world.open("/m/f", os.O_RDWR | os.O_CREAT) as file:
        assert file.write(b"x" * 10000) == 8192
        with raises(errno.ENOSPC):
            file.write(b"y")
        assert file.pwrite(b"y", 0) == 1
    with world.open("/m/g", os.O_RDWR | os.O_CREAT) as file, raises(errno.ENOSPC):
        file.write(b"z")
    world.vfs.set_stat_at(ROOT, world.at("/m/f"), SetStat(size=4096))
    world.write("/m/g", b"z")
    assert fs.pages == 2
    assert world.read("/m/f") == b"y" + b"x" * 4095


@pytest.mark.rows("S55", oracle="specification")
def test_room_is_counted_in_pages(world: World) -> None:
    tmpfs(world, "size=3m")
    world.write("/m/a", b"x" * 1982256)
    with world.open("/m/b", os.O_WRONLY | os.O_CREAT) as file:
        assert file.write(bytes(3 << 20)) == 1163264
    assert world.vfs.statfs_at(ROOT, world.at("/m")) == StatFilesystem(TMPFS_MAGIC, 4096, 768, 0, 0, 0, 0)


def test_allocating_takes_all_or_nothing(world: World) -> None:
    fs = tmpfs(world, "size=8k")
    with world.open("/m/f", os.O_RDWR | os.O_CREAT) as file:
        with raises(errno.ENOSPC):
            file.allocate(0, 0, 8193)
        assert fs.pages == 0
        file.allocate(0, 0, 8192)
        assert fs.pages == 2


def test_holes_are_found_between_what_was_written(world: World) -> None:
    with world.open("/f", os.O_RDWR | os.O_CREAT) as file:
        file.pwrite(b"x", 0)
        file.allocate(0, PAGE_SIZE, PAGE_SIZE)
        file.pwrite(b"x" * (PAGE_SIZE + 1), 3 * PAGE_SIZE)
        assert [file.seek(at, os.SEEK_DATA) for at in (0, 5, 4096, 12288)] == [0, 5, 12288, 12288]
        assert [file.seek(at, os.SEEK_HOLE) for at in (0, 4096, 12288)] == [4096, 4096, 16385]
        file.truncate(1 << 40)
        with raises(errno.ENXIO):
            file.seek(5 * PAGE_SIZE, os.SEEK_DATA)
        with raises(errno.ENXIO):
            file.seek(1 << 40, os.SEEK_HOLE)


def test_inodes_are_counted_by_name(world: World) -> None:
    fs = tmpfs(world, "nr_inodes=3")
    world.mknod("/m/a")
    world.vfs.link_at(ROOT, world.at("/m/a"), world.at("/m/b"))
    calls: list[Callable[[], None]]
    calls = [lambda: world.mknod("/m/c"), lambda: world.mkdir("/m/c"), lambda: world.symlink("x", "/m/c")]
    for call in calls:
        with raises(errno.ENOSPC):
            call()
    assert world.vfs.statfs_at(ROOT, world.at("/m"))[5:7] == (3, 0)
    world.vfs.unlink_at(ROOT, world.at("/m/a"))
    world.mkdir("/m/c")
    world.vfs.rmdir_at(ROOT, world.at("/m/c"))
    assert fs.inodes == 2


def test_a_long_link_takes_a_page(world: World) -> None:
    fs = tmpfs(world, "size=4k")
    world.symlink("x" * 128, "/m/a")
    with raises(errno.ENOSPC):
        world.symlink("x" * 128, "/m/b")
    world.symlink("x" * 127, "/m/b")
    world.vfs.unlink_at(ROOT, world.at("/m/a"))
    assert (fs.pages, fs.inodes) == (0, 2)


@pytest.mark.rows("S54", oracle="specification")
def test_without_a_limit_df_shows_the_largest_size(world: World) -> None:
    assert world.vfs.statfs_at(ROOT, world.at("/")).blocks == (1 << 63) // PAGE_SIZE


def test_pages_of_a_nameless_file_live_until_it_is_closed(world: World) -> None:
    fs = tmpfs(world, "size=8k")
    world.write("/m/f", b"x" * 5000)
    with world.open("/m/f") as file:
        world.vfs.unlink_at(ROOT, world.at("/m/f"))
        assert fs.pages == 2
        assert len(file.read()) == 5000
    assert fs.pages == 0


def test_a_place_kept_of_a_file_that_is_gone_counts_nothing_twice(world: World) -> None:
    fs = tmpfs(world, "nr_inodes=5")
    world.write("/m/f", b"x" * 5000)
    world.vfs.setxattr_at(ROOT, world.at("/m/f"), "user.a", b"value")
    place = at(world.vfs.get_dentry_at(ROOT, world.at("/m/f")))
    world.vfs.unlink_at(ROOT, world.at("/m/f"))
    assert (fs.inodes, fs.pages, fs.xattr_space) == (1, 0, 0)
    for _ in range(2):
        with world.vfs.open_at(ROOT, place, OpenOptions(os.O_RDWR)) as file:
            assert (file.read().strip(b"\0"), file.list_xattr()) == (b"", [])
            file.truncate(0)
            file.write(b"y")
            assert (fs.inodes, fs.pages) == (2, 1)
        assert (fs.inodes, fs.pages, fs.xattr_space) == (1, 0, 0)


def test_files_have_a_largest_size(world: World) -> None:
    with world.open("/f", os.O_RDWR | os.O_CREAT) as file:
        file.truncate(MAX_FILE_SIZE)
        assert file.pread(2, MAX_FILE_SIZE - 2) == b"\0\0"
        assert file.pwrite(b"", MAX_FILE_SIZE) == 0
        for position in (MAX_FILE_SIZE, MAX_FILE_SIZE - 2):
            with raises(errno.EINVAL):
                file.pwrite(b"xyz", position)
            with raises(errno.EINVAL):
                file.pread(3, position)
        with raises(errno.EFBIG):
            file.allocate(0, MAX_FILE_SIZE, 1)
        assert file.pwrite(b"yz", MAX_FILE_SIZE - 2) == 2
        assert file.pread(2, MAX_FILE_SIZE - 2) == b"yz"
        with world.open("/f", os.O_WRONLY | os.O_APPEND) as end, raises(errno.EFBIG):
            end.write(b"x")


def test_what_was_written_never_changes_with_the_callers_buffer(world: World) -> None:
    buffer = bytearray(b"x" * 20000)
    with world.open("/f", os.O_RDWR | os.O_CREAT) as file:
        file.write(memoryview(buffer)[:9000])
        buffer[:] = b"y" * 20000
        assert file.pread(20000, 0) == b"x" * 9000
        data = b"z" * 9000
        file.pwrite(data, 0)
        file.pwrite(b"!", 4096)
        assert data == b"z" * 9000


WRITES = st.tuples(st.just("write"), st.integers(0, 70000), st.binary(max_size=20).map(lambda b: b * 900))
RESIZES = st.tuples(st.just("resize"), st.integers(0, 90000), st.just(b""))
PUNCHES = st.tuples(st.just("punch"), st.integers(0, 70000), st.binary(min_size=1, max_size=9).map(lambda b: b * 3000))


@pytest.mark.property
@given(st.lists(st.one_of(WRITES, RESIZES, PUNCHES), max_size=20))
def test_contents_are_those_of_one_long_string(changes: list[tuple[str, int, bytes]]) -> None:
    world, model = World(), bytearray()
    with world.open("/f", os.O_RDWR | os.O_CREAT) as file:
        for kind, number, data in changes:
            if kind == "write":
                file.pwrite(data, number)
                if data:
                    model.extend(bytes(max(0, number - len(model))))
                    model[number : number + len(data)] = data
            elif kind == "resize":
                file.truncate(number)
                del model[number:]
                model.extend(bytes(number - len(model)))
            else:
                file.allocate(3, number, len(data))
                end = min(number + len(data), len(model))
                model[number:end] = bytes(max(0, end - number))
            assert file.stat().st_size == len(model)
        assert file.pread(1 << 20, 0) == model
        fs = world.ns.root_mount.fs
        assert isinstance(fs, TmpfsFilesystem)
        assert file.stat().st_blocks == fs.pages * 8


def test_every_answer_of_open_has_its_flags(world: World) -> None:
    with world.vfs.open_at(ROOT, world.at("/f"), OpenOptions(os.O_RDWR | os.O_CREAT, 0o640)) as file:
        assert file.stat().st_mode == 0o100640
        assert file.flags == os.O_RDWR


class Watched(dict[str, TmpfsInode]):
    """The entries of a directory, and which names there were after each change of them."""

    def __init__(self, entries: dict[str, TmpfsInode]) -> None:
        super().__init__(entries)
        self.seen: list[set[str]] = []

    def __setitem__(self, name: str, inode: TmpfsInode) -> None:
        super().__setitem__(name, inode)
        self.seen.append(set(self))

    def pop(self, name: str) -> TmpfsInode:  # type: ignore[override]
        inode = super().pop(name)
        self.seen.append(set(self))
        return inode


@pytest.mark.parametrize(
    ("flags", "stays"), [(0, {"new"}), (RENAME_EXCHANGE, {"old", "new"}), (RENAME_WHITEOUT, {"old", "new"})]
)
def test_a_name_that_a_rename_replaces_is_missing_at_no_moment(world: World, flags: int, stays: set[str]) -> None:
    world.mknod("old")
    world.mknod("new")
    directory = world.ns.root.dentry.inode
    assert isinstance(directory, Directory)
    directory.entries = entries = Watched(directory.entries)
    before = directory.size
    world.vfs.rename_at(ROOT, world.at("old"), world.at("new"), RenameOptions(flags))
    assert entries.seen
    assert all(names >= stays for names in entries.seen)
    assert set(entries) == stays
    assert directory.size == before - 20 * (2 - len(stays))
