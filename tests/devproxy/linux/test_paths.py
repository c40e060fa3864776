"""Resolution inside a root: openat2(2) is the oracle of the walk that stands in for it."""

from __future__ import annotations

import errno
import itertools
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.linux import paths, walk
from devproxy.linux.syscalls import check, libc
from tests.devproxy.linux.forked import in_child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.linux.paths import Opener

pytestmark = pytest.mark.skipif(not paths.has_openat2(), reason="no openat2 here")

OPENERS = [pytest.param(paths.open_in_root, id="openat2"), pytest.param(walk.open_in_root, id="walk")]
FLAGS = [
    os.O_PATH,
    os.O_PATH | os.O_DIRECTORY,
    os.O_PATH | os.O_NOFOLLOW,
    os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY,
    os.O_RDONLY | os.O_NONBLOCK,
    os.O_RDONLY | os.O_DIRECTORY,
    os.O_WRONLY | os.O_NONBLOCK,
]
NAMES = st.sampled_from(["a", "b", "c"])
COMPONENTS = st.sampled_from(["a", "b", "c", "..", ".", "", "a", "b", "c"])
PATHS = st.builds(
    lambda absolute, parts: ("/" if absolute else "") + "/".join(parts),
    st.booleans(),
    st.lists(COMPONENTS, max_size=6),
)
ENTRIES = st.lists(
    st.tuples(st.integers(0, 6), NAMES, st.sampled_from("ddlllfp"), PATHS.filter(bool)), min_size=1, max_size=14
)


def make_tree(root: str, entries: list[tuple[int, str, str, str]]) -> None:
    """Make directories, links, files and fifos, each in one of the directories made before."""
    directories = [root]
    for index, name, kind, target in entries:
        path = os.path.join(directories[index % len(directories)], name)
        if os.path.lexists(path):
            continue
        if kind == "d":
            os.mkdir(path)
            directories.append(path)
        elif kind == "l":
            os.symlink(target, path)
        elif kind == "f":
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        else:
            os.mkfifo(path)


def outcome(opener: Opener, root: int, path: str, flags: int) -> tuple[str, int]:
    try:
        found = opener(root, path, flags)
    except OSError as error:
        return errno.errorcode[error.errno or 0], 0
    try:
        assert not os.get_inheritable(found)
        return "found", os.fstat(found).st_ino
    finally:
        os.close(found)


@pytest.mark.property
@given(entries=ENTRIES, queries=st.lists(st.tuples(PATHS, st.sampled_from(FLAGS)), min_size=1, max_size=12))
def test_the_walk_finds_what_openat2_finds(
    entries: list[tuple[int, str, str, str]], queries: list[tuple[str, int]]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        make_tree(directory, entries)
        root = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        try:
            for path, flags in queries:
                assert outcome(walk.open_in_root, root, path, flags) == outcome(
                    paths.open_in_root, root, path, flags
                ), (
                    path,
                    flags,
                )
        finally:
            os.close(root)


@pytest.mark.property
@given(entries=ENTRIES, queries=st.lists(st.tuples(PATHS, st.sampled_from(FLAGS)), min_size=1, max_size=12))
def test_so_it_does_below_a_directory(entries: list[tuple[int, str, str, str]], queries: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        make_tree(directory, entries)
        below = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        try:
            for path, flags in queries:
                if not path.startswith("/"):
                    found = [outcome(opener, below, path, flags) for opener in (walk.open_beneath, paths.open_beneath)]
                    assert found[0] == found[1], (path, flags)
        finally:
            os.close(below)


@pytest.mark.parametrize("opener", [paths.open_beneath, walk.open_beneath], ids=["openat2", "walk"])
def test_what_leads_out_of_a_directory_is_another_place(opener: Opener, tmp_path: Path) -> None:
    (tmp_path / "d/e").mkdir(parents=True)
    for name, target in (("in", "e/.."), ("up", ".."), ("above", "e/../.."), ("whole", str(tmp_path / "d"))):
        (tmp_path / "d" / name).symlink_to(target)
    below = os.open(tmp_path / "d", os.O_PATH)
    found = [outcome(opener, below, path, os.O_PATH)[0] for path in ("in/e", "up", "above/d", "whole", "e/../..")]
    os.close(below)
    assert found == ["found", *["EXDEV"] * 4]


@pytest.mark.parametrize("links", [39, 40, 41])
def test_forty_links_are_followed_and_no_more(links: int, tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    for number in range(links):
        (tmp_path / str(number + 1)).symlink_to(str(number))
    root = os.open(tmp_path, os.O_PATH)
    answers = {outcome(opener, root, str(links), os.O_PATH)[0] for opener in (walk.open_in_root, paths.open_in_root)}
    os.close(root)
    assert answers == {"found" if links <= 40 else "ELOOP"}


@pytest.mark.parametrize(
    "path",
    ["self/exe", "self/cwd", "self/fd/0", "self/root/etc", "self/ns/mnt", "self", "mounts", "net", "self/status"],
)
def test_magic_links_are_refused_alike(path: str) -> None:
    proc = os.open("/proc", os.O_PATH)
    flags = os.O_PATH
    found = [outcome(opener, proc, path, flags)[0] for opener in (paths.open_in_root, walk.open_in_root)]
    os.close(proc)
    magic = path.startswith(("self/exe", "self/cwd", "self/fd", "self/root", "self/ns"))
    assert found == ["ELOOP" if magic else "found"] * 2


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize(
    ("path", "number"),
    [("", errno.ENOENT), ("a\0b", errno.EINVAL), ("x" * 70_000, errno.ENAMETOOLONG), ("y" * 300, errno.ENAMETOOLONG)],
)
def test_odd_paths_are_refused_with_their_name(opener: Opener, path: str, number: int, tmp_path: Path) -> None:
    root = os.open(tmp_path, os.O_PATH)
    with pytest.raises(OSError) as caught:
        opener(root, path, os.O_PATH)
    os.close(root)
    assert (caught.value.errno, caught.value.filename) == (number, path)


@pytest.fixture
def exchanging(tmp_path: Path) -> Iterator[Path]:
    """A root in which `d/x` is a directory, then a link out of it, then the directory again, all the time."""
    (tmp_path / "root/d/x/y").mkdir(parents=True)
    (tmp_path / "root/d/l").symlink_to("/../../../" + str(tmp_path / "outside"))
    (tmp_path / "outside/y").mkdir(parents=True)
    stop = threading.Event()
    folder = os.open(tmp_path / "root/d", os.O_PATH)

    def exchange() -> None:
        while not stop.is_set():
            check(libc.renameat2(folder, b"x", folder, b"l", 2))

    thread = threading.Thread(target=exchange)
    thread.start()
    yield tmp_path
    stop.set()
    thread.join()
    os.close(folder)


@pytest.mark.parametrize("opener", OPENERS)
def test_a_link_that_is_swapped_in_leads_nowhere(opener: Opener, exchanging: Path) -> None:
    root = os.open(exchanging / "root", os.O_PATH)
    outside = {(exchanging / "outside").stat().st_ino, (exchanging / "outside/y").stat().st_ino}
    seen, deadline = set[tuple[str, int]](), time.monotonic() + 10
    # Until both states were met often enough that the race was one.
    for round_ in itertools.count():
        seen |= {outcome(opener, root, path, os.O_PATH) for path in ("d/x/y", "d/x/../x", "d/x/y/../../x/y")}
        if round_ > 300 and len({answer for answer, _ in seen}) > 1:
            break
        assert time.monotonic() < deadline, seen
    os.close(root)
    assert not {inode for _, inode in seen} & outside


def test_closing_a_range_leaves_the_rest_open() -> None:
    def work() -> list[bool]:
        numbers = [os.dup(0) for _ in range(4)]
        assert numbers == list(range(numbers[0], numbers[0] + 4))
        paths.close_range(numbers[1], numbers[2])
        return [_is_open(number) for number in numbers]

    assert in_child(work) == [True, False, False, True]


def test_a_range_can_be_left_to_exec() -> None:
    def work() -> list[bool]:
        number = os.dup(0)
        os.set_inheritable(number, True)
        paths.close_range(number, paths.LAST_DESCRIPTOR, cloexec=True)
        return [_is_open(number), os.get_inheritable(number)]

    assert in_child(work) == [True, False]


def test_closing_one_by_one_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "_close_range", _no_such_call)
    test_closing_a_range_leaves_the_rest_open()
    test_a_range_can_be_left_to_exec()


@pytest.mark.root
@pytest.mark.parametrize(
    ("mode", "uid", "may"), [(0o700, 1, False), (0o701, 1, True), (0o700, 0, True), (0o600, 0, False)]
)
@pytest.mark.parametrize("with_faccessat2", [True, False])
def test_execution_is_judged_for_the_effective_user(
    mode: int, uid: int, may: bool, with_faccessat2: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_faccessat2:
        monkeypatch.setattr(paths, "_faccessat2", _no_such_call)
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        program = os.path.join(directory, "program")
        os.close(os.open(program, os.O_CREAT | os.O_WRONLY))
        os.chmod(program, mode)

        def work() -> bool:
            os.setgroups([])
            os.setresgid(0, uid, 0)
            os.setresuid(0, uid, 0)
            return paths.may_execute(os.open(program, os.O_PATH), program)

        assert in_child(work) is may


def _no_such_call(*_: object, **__: object) -> int:
    raise OSError(errno.ENOSYS, "no such call")


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
