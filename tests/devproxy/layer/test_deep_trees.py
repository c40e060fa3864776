"""Trees deeper than any path may be long: what is read of a layer and made in a tree grows with what is in it, counted in calls and
bytes, and nothing is taken that the whole look at each path would refuse.
"""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

import devproxy
from devproxy.layer.apply import apply
from devproxy.layer.check import Part, RefusedError, divide
from devproxy.layer.entry import OPAQUE, WHITEOUT, Entry, Kind, is_at_or_below
from devproxy.targets.kernel import descriptor_tree
from devproxy.targets.kernel.descriptor_tree import DescriptorTree
from tests.counting import calls_of
from tests.devproxy.saves.test_save_restore import DATA, TOP, write
from tests.saves import bundle, planned, saved

root = pytest.mark.root
PARTS: Final = {"": Part("", "overlay"), "data": Part("data", "tmpfs")}


def chain(depth: int, above: str = "data") -> list[Entry]:
    """Directories in one another, each with a time and mode of its own, and a file in every hundredth."""
    entries = []
    for level in range(depth):
        above = f"{above}/directory"
        entries.append(Entry(above, Kind.DIRECTORY, 0o700 + level % 8, mtime_ns=level * 10**9))
        if level % 100 == 0:
            entries.append(Entry(f"{above}/file", Kind.FILE, 0o644, mtime_ns=5))
    return entries


def test_twice_the_depth_is_checked_with_twice_the_calls() -> None:
    some, more = ([TOP, DATA, *chain(depth)] for depth in (150, 300))
    first, second = calls_of(lambda: divide(some, PARTS)), calls_of(lambda: divide(more, PARTS))
    assert second < 2.2 * first


def test_no_path_is_kept_twice() -> None:
    """What is kept beside the entries is less than a tenth of their paths."""
    entries = [TOP, DATA, *chain(800)]
    paths = sum(len(entry.path) for entry in entries)
    tracemalloc.start()
    try:
        divide(entries, PARTS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < paths / 10


# No names, names of parts, whiteouts, and names that lead away.
NAMES: Final = ("a", "b", "data", "", ".", "..", "x\0", "n" * 256, WHITEOUT + "a", WHITEOUT + "data", OPAQUE)
PATHS: Final = st.lists(st.sampled_from(NAMES), max_size=4).map("/".join)
LIKELY: Final = st.lists(st.sampled_from(("a", "b", "data")), max_size=4).map("/".join)
ENTRIES: Final = st.builds(Entry, path=LIKELY | PATHS, kind=st.sampled_from((Kind.DIRECTORY, Kind.FILE)))


@pytest.mark.property
@given(st.lists(ENTRIES, max_size=8))
def test_of_what_is_taken_every_name_is_one_and_every_directory_was_before_it(found: list[Entry]) -> None:
    entries = [TOP, *found]
    try:
        divided = divide(entries, PARTS)
    except RefusedError:
        return
    assert sorted(entry.path for taken in divided.values() for entry in taken) == sorted(e.path for e in entries)
    for part, taken in divided.items():
        directories: set[str] = set()
        for entry in taken:
            names = entry.path.split("/") if entry.path else []
            assert not {"", ".", "..", "x\0", "n" * 256} & set(names)
            deepest = max((path for path in PARTS if is_at_or_below(entry.path, path)), key=len)
            assert deepest == part
            assert entry.path == part or entry.parent in directories
            if entry.kind is Kind.DIRECTORY:
                directories.add(entry.path)


@pytest.mark.property
@given(st.sets(st.lists(st.sampled_from(("a", "b", "data", "c d")), min_size=1, max_size=5).map(tuple), max_size=12))
def test_every_tree_whose_parents_come_first_is_taken(found: set[tuple[str, ...]]) -> None:
    every = sorted({path[:length] for path in found for length in range(1, len(path) + 1)})
    entries = [TOP, *(Entry("/".join(path), Kind.DIRECTORY, 0o755) for path in every)]
    divided = divide(entries, PARTS)
    assert divided["data"] == [entry for entry in entries if is_at_or_below(entry.path, "data")]
    assert divided[""] == [entry for entry in entries if not is_at_or_below(entry.path, "data")]


def test_a_first_slash_is_no_directory() -> None:
    with pytest.raises(RefusedError, match="not one of a file in the root"):
        divide([TOP, Entry("/x", Kind.FILE)], PARTS)


def test_directories_on_the_way_up_are_not_opened_from_the_root_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    depth, opened = 400, 0
    plain = os.open

    def counting(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        nonlocal opened
        opened += flags & os.O_DIRECTORY != 0
        return plain(path, flags, mode, dir_fd=dir_fd)

    top = plain(tmp_path, os.O_PATH | os.O_DIRECTORY)
    before = set(os.listdir("/proc/self/fd"))
    try:
        monkeypatch.setattr(os, "open", counting)
        tree = DescriptorTree(top, (os.getuid(), os.getgid()))
        apply(chain(depth), -1, tree, "data")
        assert len(set(os.listdir("/proc/self/fd")) - before) <= descriptor_tree._HELD + 1
        tree.close()
    finally:
        monkeypatch.undo()
        os.close(top)
    # Down once, and up in runs of as many as are held, each begun at the root: half a run's number of them a level.
    assert depth <= opened < depth + depth * depth / descriptor_tree._HELD


@pytest.mark.parametrize("target", ["memory", pytest.param("kernel", marks=root)])
def test_a_tree_deeper_than_a_path_may_be_long_is_restored(target: str, tmp_path: Path) -> None:
    """Down, up and down again: what was held is left at the right place. It is saved as it was."""
    entries = [TOP, DATA, *chain(600), *chain(50, "data/directory/directory"), Entry("data/last", Kind.FILE, 0o600)]
    entries = list({entry.path: entry for entry in entries}.values())
    deepest = max(entries, key=lambda entry: len(entry.path))
    assert len(deepest.path) > os.pathconf("/", "PC_PATH_MAX")
    file = write(tmp_path / "deep.tar", *entries)
    with devproxy.build(planned(bundle(tmp_path / "b")), target, restore=file, keep=target == "kernel") as built:
        again = saved(built.save(str(tmp_path / "again.tar")).file)
    before = saved(file)
    assert {path: again[path] for path in before if path.startswith("data/")} == {
        path: found for path, found in before.items() if path.startswith("data/")
    }


@root
def test_a_deep_tree_is_removed_and_made_anew_by_a_restore(tmp_path: Path) -> None:
    """What is held is never a directory that was removed: a file takes the place of a tree, and a tree that of a file."""
    (tmp_path / "tree" / "a" / "b" / "c").mkdir(parents=True)
    top = os.open(tmp_path / "tree", os.O_PATH | os.O_DIRECTORY)
    tree = DescriptorTree(top)
    try:
        assert tree.names("a/b/c") == []
        apply([Entry("a", Kind.FILE, 0o600), Entry("x", Kind.DIRECTORY, 0o700)], -1, tree, "")
        apply([Entry("a", Kind.DIRECTORY, 0o700), Entry("a/b", Kind.FILE, 0o640)], -1, tree, "")
        with pytest.raises(NotADirectoryError):
            tree.names("a/b")
        assert tree.names("a") == ["b"]
    finally:
        tree.close()
        os.close(top)
    assert sorted(os.listdir(tmp_path / "tree")) == ["a", "x"]
