"""Links followed inside a tree, with the kernel as the oracle."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.check.mount_table import MountTable
from devproxy.check.resolve import MountPlaces, Places
from devproxy.linux.mountinfo import MountLine


class Below:
    """A directory as a root, read without following anything."""

    def __init__(self, top: Path) -> None:
        self._top = os.fspath(top)

    def lstat(self, path: str) -> os.stat_result:
        return os.lstat(self._top + path)

    def readlink(self, path: str) -> str:
        return os.readlink(self._top + path)


def test_links_stay_inside(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "up").symlink_to("../../../a")
    (tmp_path / "abs").symlink_to("/a/b")
    (tmp_path / "a" / "back").symlink_to("..")
    (tmp_path / "loop").symlink_to("loop")
    tree = Places(Below(tmp_path))
    assert tree.real("/up/b") == "/a/b"
    assert tree.real("/abs/new") == "/a/b/new"
    assert tree.real("/a/back/abs") == "/a/b"
    assert tree.real("/") == "/"
    assert tree.real("/loop") == "/loop"


def test_a_place_is_looked_at_once(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/b")
    below = Below(tmp_path)
    looked: list[str] = []

    class Counting:
        def lstat(self, path: str) -> os.stat_result:
            looked.append(path)
            return below.lstat(path)

        def readlink(self, path: str) -> str:
            return below.readlink(path)

    places = Places(Counting())
    assert [places.real(path) for path in ("/link/c/x/y", "/link/c", "/a/b/c/x", "/link")] == [
        "/a/b/c/x/y",
        "/a/b/c",
        "/a/b/c/x",
        "/a/b",
    ]
    assert sorted(looked) == ["/a", "/a/b", "/a/b/c", "/a/b/c/x", "/a/b/c/x/y", "/link"]
    assert places.of("/link/../link") == "/a/link"


def test_more_than_forty_links_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "l0").symlink_to(".")
    for number in range(1, 42):
        (tmp_path / f"l{number}").symlink_to(f"l{number - 1}")
    places = Places(Below(tmp_path))
    assert places.real("/l39/x") == "/x"
    assert places.real("/l20/l18") == "/"
    assert places.real("/l20/l19/x") == "/l20/l19/x"
    assert places.real("/l40") == "/l40"


def test_the_place_of_another_process(tmp_path: Path) -> None:
    def line(point: str) -> MountLine:
        return MountLine(1, 1, "0:1", "/", point, (), (), "tmpfs", "", ())

    for names in ("proc/7/task/9", "proc/2", "x/2"):
        (tmp_path / names).mkdir(parents=True)
    (tmp_path / "proc" / "self").symlink_to("7")
    (tmp_path / "proc" / "thread-self").symlink_to("7/task/9")
    points = ("/proc/1/mounts", "/proc/1/task/1/comm", "/x/self/y")
    places = MountPlaces(Below(tmp_path), MountTable(map(line, points)))
    assert places.mounted("/proc/self/mounts") == "/proc/1/mounts"
    assert places.mounted("/proc/thread-self/comm") == "/proc/1/task/1/comm"
    assert places.mounted("/proc/self/maps") == "/proc/7/maps"
    assert places.mounted("/x/2/y") == "/x/2/y"


NAMES = st.sampled_from(["a", "b", "l0", "l1", "l2", "..", "."])


@pytest.mark.property
@given(st.lists(st.tuples(NAMES, NAMES), max_size=3), st.lists(NAMES, min_size=1, max_size=5))
def test_relative_links_lead_where_realpath_says(links: list[tuple[str, str]], path: list[str]) -> None:
    with TemporaryDirectory() as top:
        # Deep enough that `..` cannot reach the top: above it the two would rightly differ.
        base = os.path.join(os.path.realpath(top), *"xxxxxxxxxxxxxxxx")
        os.makedirs(os.path.join(base, "a", "b"))
        for number, names in enumerate(links):
            # A link leads only to links made before it: none goes round.
            target = "/".join("a" if name >= f"l{number}" else name for name in names)
            os.symlink(target, os.path.join(base, f"l{number}"))
        wanted = os.path.realpath(os.path.join(base, *path))
        found = Places(Below(Path(top))).real(os.path.join(base, *path)[len(os.path.realpath(top)) :])
        assert os.path.realpath(top) + found == wanted
