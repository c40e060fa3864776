"""Links followed inside a tree, with the kernel as the oracle."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.check.resolve import real_path


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
    tree = Below(tmp_path)
    assert real_path(tree, "/up/b") == "/a/b"
    assert real_path(tree, "/abs/new") == "/a/b/new"
    assert real_path(tree, "/a/back/abs") == "/a/b"
    assert real_path(tree, "/") == "/"
    assert real_path(tree, "/loop") == "/loop"


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
        found = real_path(Below(Path(top)), os.path.join(base, *path)[len(os.path.realpath(top)) :])
        assert os.path.realpath(top) + found == wanted
