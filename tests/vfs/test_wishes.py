"""What users of in-memory file systems ask for, one test a wish.

The first of the ten, that other programs and C code see the files, needs a mount of the kernel's: it is the business of serving over FUSE.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.counting import calls_of
from tests.vfs.world import USER, World, raises
from vfs import (
    ROOT,
    BindOptions,
    Credentials,
    DeviceKind,
    DeviceNumber,
    MkdirOptions,
    MountFlags,
    OpenDevice,
    OpenOptions,
    PathOperation,
    Registration,
    SetStat,
)

OTHER = Credentials(1001, 1001)


def test_threads_share_one_file_system_and_others_have_their_own() -> None:
    shared, threads, rounds = World(), 4, 50
    shared.mkdir("/d")
    start = threading.Barrier(threads)

    def work(number: int) -> tuple[list[str], int]:
        own, won = World(), 0
        start.wait()
        for each in range(rounds):
            for world in (own, shared):
                world.write(f"/{number}-{each}", b"%d" % each)
            # All want this name; one at a time may have it.
            try:
                shared.mkdir("/d/lock")
            except FileExistsError:
                continue
            with shared.open("/d/count", os.O_WRONLY | os.O_CREAT | os.O_APPEND) as file:
                won += file.write(b"x")
            shared.vfs.rmdir_at(ROOT, shared.at("/d/lock"))
        return own.listdir("/"), won

    with ThreadPoolExecutor(threads) as pool:
        results = list(pool.map(work, range(threads)))
    for number, (names, _) in enumerate(results):
        assert names == sorted(f"{number}-{each}" for each in range(rounds))
    assert len(shared.listdir("/")) == threads * rounds + 1
    assert shared.stat("/d/count").st_size == sum(won for _, won in results) > 0
    assert shared.listdir("/d") == ["count"]


def test_who_asks_is_told_by_credentials_not_by_a_global(world: World) -> None:
    world.write("/secret", b"x")
    world.vfs.set_stat_at(ROOT, world.at("/secret"), SetStat(mode=0o600, uid=USER.uid, gid=USER.gid))

    def reads(creds: Credentials) -> str:
        try:
            world.vfs.open_at(creds, world.at("/secret")).close()
        except PermissionError as refused:
            return errno.errorcode[refused.errno or 0]
        return "reads"

    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(reads, [ROOT, USER, OTHER] * 30))
    assert answers == ["reads", "reads", "EACCES"] * 30


def test_directories_decide_who_makes_removes_and_moves(world: World) -> None:
    vfs, at = world.vfs, world.at
    world.mkdir("/closed", 0o755)
    world.mkdir("/open", 0o777)
    world.mkdir("/public")
    vfs.set_stat_at(ROOT, at("/public"), SetStat(mode=0o1777))
    world.mkdir("/blind", 0o700)
    for name in ("closed", "open", "public", "blind"):
        world.write(f"/{name}/f", b"x")
    calls: list[Callable[[str], object]] = [
        lambda name: vfs.mkdir_at(USER, at(f"/{name}/d")),
        lambda name: vfs.rename_at(USER, at(f"/{name}/f"), at(f"/{name}/g")),
        lambda name: vfs.unlink_at(USER, at(f"/{name}/g" if name == "open" else f"/{name}/f")),
    ]
    for call in calls:
        call("open")
        for name in ("closed", "blind"):
            with raises(errno.EACCES):
                call(name)
    with raises(errno.EACCES):
        vfs.stat_at(USER, at("/blind/f"))
    # A sticky directory lets anybody make, and owners alone remove.
    calls[0]("public")
    for call in calls[1:]:
        with raises(errno.EPERM):
            call("public")


KINDS: dict[str, tuple[str, ...]] = {
    "missing": (),
    "file": ("file N",),
    "empty": ("dir N",),
    "full": ("dir N", "file N/in"),
    "link to file": ("file N.target", "link N.target N"),
    "link to directory": ("dir N.target", "link N.target N"),
    "dangling": ("link nowhere N",),
    "same file": ("file same", "hard same N"),
}
SPELLINGS = ["old new", "old/ new", "old new/", "old/ new/", "old old", "old old/below", "old .", ". new", "old/.. new"]


def on_host(place: Path, steps: list[str]) -> None:
    for step in steps:
        match step.split():
            case ["file", name]:
                if not (place / name).exists():
                    (place / name).write_bytes(name.encode())
            case ["dir", name]:
                (place / name).mkdir()
            case ["link", text, name]:
                (place / name).symlink_to(text)
            case ["hard", old, name]:
                os.link(place / old, place / name)
            case _:
                raise AssertionError(step)


def in_memory(world: World, steps: list[str]) -> None:
    for step in steps:
        match step.split():
            case ["file", name]:
                world.write(f"/{name}", name.encode())
            case ["dir", name]:
                world.mkdir(f"/{name}")
            case ["link", text, name]:
                world.symlink(text, f"/{name}")
            case ["hard", old, name]:
                world.vfs.link_at(ROOT, world.at(f"/{old}"), world.at(f"/{name}"))
            case _:
                raise AssertionError(step)


def outcome(call: Callable[[], object]) -> str:
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def host_tree(place: Path) -> list[tuple[str, int, str]]:
    return sorted(
        (
            str(path.relative_to(place)),
            stat.S_IFMT(path.lstat().st_mode),
            os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else "",
        )
        for path in place.rglob("*")
    )


def memory_tree(world: World, below: str = "") -> list[tuple[str, int, str]]:
    rows = []
    for name in world.listdir(below or "/"):
        path = f"{below}/{name}"
        kind = stat.S_IFMT(world.stat(path, follow=False).st_mode)
        text = ""
        if kind == stat.S_IFLNK:
            text = world.vfs.readlink_at(ROOT, world.at(path))
        elif kind == stat.S_IFREG:
            text = world.read(path).decode()
        rows.append((path[1:], kind, text))
        if kind == stat.S_IFDIR:
            rows += memory_tree(world, path)
    return sorted(rows)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_names_move_exactly_as_the_kernel_moves_them(tmp_path: Path, spelling: str) -> None:
    old, new = spelling.split()
    for number, (source, target) in enumerate((source, target) for source in KINDS for target in KINDS):
        made = dict.fromkeys(
            step.replace("N", name) for name, kind in (("old", source), ("new", target)) for step in KINDS[kind]
        )
        place, world = tmp_path / str(number), World()
        place.mkdir()
        on_host(place, list(made))
        in_memory(world, list(made))
        theirs = outcome(partial(os.rename, f"{place}/{old}", f"{place}/{new}"))
        root = world.ns.root
        # "." is no name, and below a root of its own ".." would lead nowhere.
        ours = outcome(
            partial(world.vfs.rename_at, ROOT, PathOperation(root, root, old), PathOperation(root, root, new))
        )
        assert (ours, memory_tree(world)) == (theirs, host_tree(place)), (source, target)


def test_mounts_have_devices_and_nothing_crosses_them(world: World) -> None:
    for name in ("a", "b", "c"):
        world.mkdir(f"/{name}")
    world.mount("/a")
    world.mount("/b", flags=MountFlags.RDONLY)
    world.vfs.bind_at(ROOT, world.at("/a"), world.at("/c"), BindOptions())
    devices = {name: world.stat(name).st_dev for name in ("/", "/a", "/b", "/c")}
    assert len(set(devices.values())) == 3
    assert devices["/a"] == devices["/c"]
    world.write("/a/f", b"x")
    assert world.stat("/c/f").st_ino == world.stat("/a/f").st_ino
    # Not even into another mount of the same file system.
    for target in ("/f", "/c/g"):
        with raises(errno.EXDEV):
            world.vfs.rename_at(ROOT, world.at("/a/f"), world.at(target))
        with raises(errno.EXDEV):
            world.vfs.link_at(ROOT, world.at("/a/f"), world.at(target))
    with raises(errno.EROFS):
        world.mkdir("/b/d")
    for call in (world.vfs.rmdir_at, partial(world.vfs.rename_at, new=world.at("/z"))):
        with raises(errno.EBUSY):
            call(ROOT, world.at("/a"))


class Null(OpenDevice):
    """What /dev/null is: it takes everything and has nothing."""

    def read(self, size: int, offset: int) -> bytes:
        return b""

    def write(self, data: bytes, offset: int) -> int:
        return len(data)


class NullDriver:
    def open(self, number: DeviceNumber, flags: int) -> OpenDevice:
        return Null()


def test_fifos_carry_bytes_and_nodes_open_drivers(world: World) -> None:
    world.mknod("/fifo", stat.S_IFIFO | 0o600)
    with world.open("/fifo", os.O_RDONLY | os.O_NONBLOCK) as reader, world.open("/fifo", os.O_WRONLY) as writer:
        writer.write(b"through")
        assert reader.read(100) == b"through"
    number = DeviceNumber(1, 3)
    world.vfs.devices.register(Registration(DeviceKind.CHARACTER, number, NullDriver(), "null"))
    world.mknod("/null", stat.S_IFCHR | 0o666, number.rdev)
    assert stat.S_ISCHR(world.stat("/null").st_mode)
    with world.open("/null", os.O_RDWR) as null:
        assert (null.write(b"lost"), null.read(10)) == (4, b"")


def test_extended_attributes_have_the_errors_of_linux(world: World) -> None:
    vfs, file = world.vfs, world.at("/f")
    world.write("/f", b"")
    vfs.setxattr_at(ROOT, file, "user.a", b"1", os.XATTR_CREATE)
    vfs.setxattr_at(ROOT, file, "trusted.b", b"2")
    assert vfs.listxattr_at(ROOT, file) == ["user.a", "trusted.b"]
    assert vfs.listxattr_at(USER, file) == ["user.a"]
    answers: dict[int, list[Callable[[], object]]] = {
        errno.EEXIST: [lambda: vfs.setxattr_at(ROOT, file, "user.a", b"", os.XATTR_CREATE)],
        errno.ENODATA: [
            lambda: vfs.setxattr_at(ROOT, file, "user.none", b"", os.XATTR_REPLACE),
            lambda: vfs.getxattr_at(ROOT, file, "user.none"),
            lambda: vfs.removexattr_at(ROOT, file, "user.none"),
            lambda: vfs.getxattr_at(USER, file, "trusted.b"),
        ],
        errno.EPERM: [lambda: vfs.setxattr_at(USER, file, "trusted.c", b"")],
        errno.EACCES: [lambda: vfs.setxattr_at(USER, file, "user.c", b"")],
        errno.ENOTSUP: [lambda: vfs.setxattr_at(ROOT, file, "other.c", b"")],
        errno.ERANGE: [lambda: vfs.getxattr_at(ROOT, file, "user." + "n" * 255)],
        errno.E2BIG: [lambda: vfs.setxattr_at(ROOT, file, "user.c", bytes(65537))],
    }
    for number, calls in answers.items():
        for call in calls:
            with raises(number):
                call()


def test_links_of_both_kinds_lead_to_the_file(world: World) -> None:
    world.mkdir("/d")
    world.write("/d/f", b"contents")
    world.vfs.link_at(ROOT, world.at("/d/f"), world.at("/hard"))
    world.symlink("d", "/to-d")
    world.symlink("/to-d/../hard", "/soft")
    assert world.read("/soft") == world.read("/to-d/f") == b"contents"
    first, second = world.stat("/d/f"), world.stat("/soft")
    assert (first.st_ino, first.st_nlink) == (second.st_ino, 2) == (world.stat("/hard").st_ino, second.st_nlink)
    assert world.vfs.readlink_at(ROOT, world.at("/soft")) == "/to-d/../hard"
    assert stat.S_ISLNK(world.stat("/soft", follow=False).st_mode)
    world.vfs.unlink_at(ROOT, world.at("/d/f"))
    assert world.read("/soft") == b"contents"
    assert world.stat("/hard").st_nlink == 1
    world.symlink("loop", "/loop")
    with raises(errno.ELOOP):
        world.stat("/loop")


def test_looking_costs_the_same_among_many_and_worlds_share_nothing() -> None:
    small, large = World(), World()
    for world, count in ((small, 10), (large, 3000)):
        world.mkdir("/d")
        for number in range(count):
            world.mknod(f"/d/{number}")
        world.vfs.rename_at(ROOT, world.at("/d/1"), world.at("/d/x"))
    op = "/d/5"
    assert calls_of(lambda: large.stat(op)) <= calls_of(lambda: small.stat(op))
    assert calls_of(World) <= 500
    with raises(errno.ENOENT):
        small.stat("/d/2999")
    one, other = World(), World()
    one.vfs.mkdir_at(ROOT, one.at("/only"), MkdirOptions())
    with one.vfs.open_at(ROOT, one.at("/f"), OpenOptions(os.O_CREAT | os.O_WRONLY)):
        assert one.ns.root_mount.open_files == 1
        assert other.ns.root_mount.open_files == 0
    assert (one.listdir("/"), other.listdir("/")) == (["f", "only"], [])
    # And the files of the machine are where they were.
    assert not os.path.exists("/only")
