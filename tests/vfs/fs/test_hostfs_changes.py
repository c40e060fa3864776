"""hostfs on a tree that others change, hostile or not, and where nobody else does."""

from __future__ import annotations

import errno
import os
import resource
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from vfs.credentials import ROOT, Credentials
from vfs.file import File
from vfs.fs.hostfs import HostfsOptions, HostfsType
from vfs.mount import VirtualDentry
from vfs.options import MkdirOptions, MknodOptions, MountOptions, OpenOptions, RenameOptions, SetStat
from vfs.resolve import PathOperation
from vfs.virtual_filesystem import VirtualFilesystem

ROUNDS = 1500

SELF = Credentials(os.geteuid(), os.getegid())


class View:
    """A tree of the machine, writable."""

    def __init__(self, path: Path, *, exclusive: bool = False, devices: bool = False) -> None:
        self.vfs = VirtualFilesystem()
        self.vfs.register_filesystem_type(HostfsType())
        fd = os.open(path, os.O_PATH)
        try:
            internal = HostfsOptions(fd, writable=True, exclusive=exclusive, devices=devices)
            self.mount = self.vfs.mount_disconnected(ROOT, "host", "hostfs", MountOptions(internal=internal))
        finally:
            os.close(fd)
        self.root = VirtualDentry(self.mount, self.mount.root)

    def at(self, path: str) -> PathOperation:
        return PathOperation(self.root, self.root, path)

    def open(self, path: str, flags: int = os.O_RDONLY) -> File:
        return self.vfs.open_at(ROOT, self.at(path), OpenOptions(flags, 0o644))

    def read(self, path: str) -> bytes:
        with self.open(path) as file:
            return file.read()

    def stat(self, path: str) -> os.stat_result:
        return self.vfs.stat_at(ROOT, self.at(path))


MakeView = Callable[..., View]


@pytest.fixture
def view() -> Iterator[MakeView]:
    made: list[View] = []

    def make(path: Path, *, exclusive: bool = False, devices: bool = False) -> View:
        made.append(View(path, exclusive=exclusive, devices=devices))
        return made[-1]

    yield make
    for each in made:
        each.vfs.discard_mount(each.mount)


@contextmanager
def swapping(*, step: Callable[[], None]) -> Iterator[None]:
    """Somebody who does something over and over meanwhile."""
    done = threading.Event()

    def run() -> None:
        while not done.is_set():
            step()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.root
def test_a_directory_swapped_for_a_link_leads_nowhere(view: MakeView, tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    (outside / "d").mkdir(parents=True)
    (outside / "f").write_text("secret")
    (inside / "d" / "d").mkdir(parents=True)
    (inside / "d" / "f").write_text("public")
    (inside / "link").symlink_to("../outside")
    shown = view(inside)

    def swap() -> None:
        os.rename(inside / "d", inside / "away")
        os.rename(inside / "link", inside / "d")
        os.rename(inside / "d", inside / "link")
        os.rename(inside / "away", inside / "d")

    calls: list[Callable[[], object]] = [
        lambda: shown.open("/d/new", os.O_WRONLY | os.O_CREAT).close(),
        lambda: shown.vfs.mkdir_at(ROOT, shown.at("/d/d/made"), MkdirOptions(0o755)),
        lambda: shown.vfs.set_stat_at(ROOT, shown.at("/d/f"), SetStat(mode=0o600, size=6)),
        lambda: shown.vfs.rename_at(ROOT, shown.at("/d/new"), shown.at("/d/d/moved"), RenameOptions()),
        lambda: shown.vfs.symlink_at(ROOT, shown.at("/d/l"), "f"),
        lambda: shown.vfs.unlink_at(ROOT, shown.at("/d/l")),
        lambda: shown.vfs.rmdir_at(ROOT, shown.at("/d/d/made")),
    ]
    before = (sorted(os.listdir(outside)), os.stat(outside / "f"))
    read, told = 0, set[int | None]()
    with swapping(step=swap):
        for number in range(ROUNDS):
            try:
                # The link has the VFS's root for a parent: what it means there is missing.
                assert shown.read("/d/f") == b"public"
                read += 1
                calls[number % len(calls)]()
            except OSError as refused:
                told.add(refused.errno)
    assert read
    assert told <= {errno.ENOENT, errno.ESTALE, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY}
    assert (sorted(os.listdir(outside)), os.stat(outside / "f")) == before
    assert os.listdir(outside / "d") == []


@pytest.mark.root
def test_what_is_put_in_the_place_of_a_new_file_is_not_given_away(view: MakeView, tmp_path: Path) -> None:
    inside, precious = tmp_path / "inside", tmp_path / "precious"
    inside.mkdir()
    precious.write_text("root's")
    precious.chmod(0o600)
    shown = view(inside)

    def replace() -> None:
        for name in ("p", "f"):
            try:
                os.rename(inside / name, inside / "gone")
                os.link(precious, inside / name)
            except OSError:
                continue

    user = Credentials(1234, 1234)
    told = set[int | None]()
    inside.chmod(0o777)
    with swapping(step=replace):
        for number in range(ROUNDS // 3):
            try:
                if number % 2:
                    shown.vfs.mknod_at(user, shown.at("/p"), MknodOptions(stat.S_IFIFO | 0o666))
                else:
                    shown.vfs.open_at(user, shown.at("/f"), OpenOptions(os.O_WRONLY | os.O_CREAT | os.O_EXCL)).close()
            except OSError as refused:
                told.add(refused.errno)
            for name in ("p", "f"):
                (inside / name).unlink(missing_ok=True)
    assert told <= {errno.EEXIST, errno.ESTALE, errno.ENOENT, errno.EACCES}
    found = precious.stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (0, 0o600)


def test_shared_looks_anew_and_exclusive_does_not(view: MakeView, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("old")
    shared, exclusive = view(tmp_path), view(tmp_path, exclusive=True)
    for each in (shared, exclusive):
        assert each.stat("/d/f").st_size == 3
    (tmp_path / "d" / "f").write_text("newer")
    assert (shared.stat("/d/f").st_size, exclusive.stat("/d/f").st_size) == (5, 3)
    os.rename(tmp_path / "d", tmp_path / "e")
    with pytest.raises(FileNotFoundError):
        shared.stat("/d/f")
    assert exclusive.stat("/d/f").st_size == 3
    # What it has in its hands it knows better.
    assert exclusive.read("/d/f") == b"newer"
    assert exclusive.stat("/d/f").st_size == 5


def test_exclusive_never_takes_one_file_for_another(view: MakeView, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("old")
    shown = view(tmp_path, exclusive=True)
    assert shown.stat("/f").st_size == 3
    kept = os.open(tmp_path / "f", os.O_RDONLY)
    (tmp_path / "g").write_text("another")
    os.rename(tmp_path / "g", tmp_path / "f")
    with pytest.raises(OSError) as stale:
        shown.open("/f")
    os.close(kept)
    assert stale.value.errno == errno.ESTALE


def test_appending_and_reading_to_the_end_know_what_others_wrote(view: MakeView, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("1")
    shown = view(tmp_path)
    with shown.open("/f", os.O_RDWR | os.O_APPEND) as file:
        (tmp_path / "f").write_text("1234")
        file.write(b"56")
        assert file.seek(0, os.SEEK_CUR) == 6
        assert file.seek(0, os.SEEK_END) == 6
        (tmp_path / "f").write_text("12345678")
        file.seek(0)
        assert file.read() == b"12345678"


@pytest.mark.root
def test_a_removed_file_is_changed_by_what_is_open(view: MakeView, tmp_path: Path) -> None:
    shown = view(tmp_path)
    with shown.open("/f", os.O_RDWR | os.O_CREAT) as file:
        (tmp_path / "f").unlink()
        file.set_stat(SetStat(mode=0o600, mtime_ns=7_000_000_000))
        file.set_xattr("user.a", b"x")
        assert file.get_xattr("user.a") == b"x"
        found = file.stat()
        assert (found.st_nlink, found.st_mode, found.st_mtime) == (0, stat.S_IFREG | 0o600, 7)


@contextmanager
def few_descriptors(spare: int) -> Iterator[None]:
    """No more than `spare` can be opened, wherever there are gaps among those that are open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = [os.open("/dev/null", os.O_RDONLY) for _ in range(spare)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(free) + 1, hard))
    filling = []
    try:
        with suppress(OSError):
            while True:
                filling.append(os.open("/dev/null", os.O_RDONLY))
        for fd in free:
            os.close(fd)
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in filling:
            os.close(fd)


@pytest.mark.parametrize("spare", range(4, 28))
def test_fewer_descriptors_than_the_limit_do(view: MakeView, tmp_path: Path, spare: int) -> None:
    for index in range(40):
        (tmp_path / f"d{index}" / "e").mkdir(parents=True)
        (tmp_path / f"d{index}" / "e" / "f").write_text("x")
    shown = view(tmp_path)
    with few_descriptors(spare):
        for index in range(40):
            assert shown.read(f"/d{index}/e/f") == b"x"
            assert shown.vfs.listdir_at(ROOT, shown.at(f"/d{index}")) == ["e"]
            options = OpenOptions(os.O_CREAT | os.O_WRONLY, 0o644)
            shown.vfs.open_at(SELF, shown.at(f"/d{index}/e/g"), options).close()
            shown.vfs.rename_at(SELF, shown.at(f"/d{index}/e/g"), shown.at(f"/d{index}/g"), RenameOptions())


@pytest.mark.root
def test_devices_are_made_on_the_machine_only_where_that_is_asked_for(view: MakeView, tmp_path: Path) -> None:
    null = MknodOptions(stat.S_IFCHR | 0o666, os.makedev(1, 3))
    shown = view(tmp_path)
    with pytest.raises(PermissionError):
        shown.vfs.mknod_at(ROOT, shown.at("/null"), null)
    assert os.listdir(tmp_path) == []
    # A whiteout is no device.
    shown.vfs.mknod_at(ROOT, shown.at("/gone"), MknodOptions(stat.S_IFCHR))
    allowed = view(tmp_path, devices=True)
    allowed.vfs.mknod_at(ROOT, allowed.at("/null"), null)
    assert (tmp_path / "null").stat().st_rdev == os.makedev(1, 3)


def test_flags_and_modes_need_calls_of_the_machine(view: MakeView, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    shown = view(tmp_path)
    with pytest.raises(OSError) as refused:
        shown.vfs.rename_at(ROOT, shown.at("/a"), shown.at("/b"), RenameOptions(2))
    assert refused.value.errno == errno.EINVAL
    with shown.open("/a", os.O_WRONLY) as file, pytest.raises(OSError) as unknown:
        file.allocate(3, 0, 4096)
    assert unknown.value.errno == errno.EOPNOTSUPP
