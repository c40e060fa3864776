"""Links that lead nowhere on the way to something that is made: what they lead to is made, inside the root (S50 to S52)."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devproxy.node import DeviceNumber, NodeKind
from devproxy.targets.kernel.builder import start_builder
from devproxy.targets.kernel.paths import OLDEST
from devproxy.targets.root import Root
from devproxy.targets.target import Target
from tests.contract.targets.rig import HOST, Build, Work, in_memory, on_the_kernel, overlay_root, told

CHAIN = {"a": "b/../c", "c": "/d/e", "f": "a/g", "v": "../../../../h", "l": "l", "m": "n", "n": "x/../m"}


def link(image: str, links: dict[str, str]) -> None:
    for name, target in links.items():
        Path(image, name).symlink_to(target)


@pytest.mark.rows("S50", "S52", "H23", oracle="kernel")
@pytest.mark.parametrize(
    ("path", "made", "there"),
    [
        ("/nowhere", "/not", "/not/there"),
        ("/nowhere/x", "/not", "/not/there/x"),
        ("/a", "/b", "/d/e"),
        ("/f", "/b", "/d/e/g"),
        ("/v/i", "/h", "/h/i"),
        ("/to-mnt/./j//k/", "/to-mnt/j", "/mnt/j/k"),
        ("/l", "ELOOP /l", ""),
        ("/m/o", "ELOOP", ""),
    ],
)
@pytest.mark.parametrize("directory", [True, False])
def test_a_mount_point_is_made_where_a_link_leads(
    build: Build, image: str, path: str, made: str, there: str, directory: bool
) -> None:
    link(image, CHAIN)

    def work(target: Target) -> str:
        overlay_root(target, image)
        return told(target.make_mount_point, path, directory=directory)

    with build(work) as (root, result):
        if not there:
            assert result.startswith("ELOOP")
            return
        assert result == made
        assert stat.filemode(root.lstat(there).st_mode) == ("drwxr-xr-x" if directory else "-rw-r--r--")


@pytest.mark.rows("S68", oracle="kernel")
def test_a_node_is_made_in_the_directory_that_a_link_leads_to(build: Build, image: str) -> None:
    def work(target: Target) -> list[str]:
        overlay_root(target, image)
        number = DeviceNumber(1, 3)
        return [
            told(target.make_node, "/nowhere/null", NodeKind.CHARACTER, number, 0o666, 0, 0),
            told(target.make_symlink, "/nowhere/link", "null"),
            told(target.make_node, "/loop/null", NodeKind.CHARACTER, number, 0o666, 0, 0),
        ]

    with build(work) as (root, result):
        assert result == ["None", "None", "ELOOP /loop"]
        assert root.lstat("/not/there/null").st_rdev == os.makedev(1, 3)
        assert root.readlink("/not/there/link") == "null"


NAMES = st.sampled_from(["a", "b", "c", "..", "."])
PATHS = st.builds(
    lambda names, absolute: ("/" if absolute else "") + "/".join(names),
    st.lists(NAMES, min_size=1, max_size=4),
    st.booleans(),
)
LINKS = st.dictionaries(st.sampled_from(["a", "b", "c", "d/a", "d/b", "d/c"]), PATHS, max_size=6)
MADE = st.lists(st.tuples(PATHS.map(lambda path: "/" + path.lstrip("/")), st.booleans()), min_size=1, max_size=3)


def tree(root: Root, path: str = "/") -> list[str]:
    """Every name below a path, with its mode and where it leads."""
    found = []
    for name in root.listdir(path):
        whole = path.rstrip("/") + "/" + name
        mode = root.lstat(whole).st_mode
        found.append(f"{stat.filemode(mode)} {whole} {root.readlink(whole) if stat.S_ISLNK(mode) else ''}")
        if stat.S_ISDIR(mode):
            found += tree(root, whole)
    return found


def in_the_oldest_way(work: Work) -> tuple[list[str], Any]:
    def all_of_it(target: Target) -> list[Any]:
        result = work(target)
        target.finish()
        return [result]

    with start_builder(HOST, all_of_it, live={}, paths=OLDEST) as root:
        return tree(root), root.outcomes[0]


def _said(answer: str) -> str:
    """A circle has no first link: each target may name another place of it."""
    return "ELOOP" if answer.startswith("ELOOP") else answer


@pytest.mark.root
@pytest.mark.property
@given(links=LINKS, made=MADE)
@example(links={"a": "b/../c", "c": "/d/../e"}, made=[("/a/b", True), ("/a", False)])
@example(links={"b": "a/../b"}, made=[("/b/a", False)])
def test_every_target_makes_the_same_and_nothing_outside(links: dict[str, str], made: list[tuple[str, bool]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        image = f"{directory}/deep/image"
        os.makedirs(f"{image}/d")
        link(image, links)
        before = sorted(os.listdir(directory)) + sorted(os.listdir(f"{directory}/deep"))

        def work(target: Target) -> list[str]:
            overlay_root(target, image)
            return [_said(told(target.make_mount_point, path, directory=kind)) for path, kind in made]

        with in_memory(work) as (root, result):
            expected = (tree(root), result)
        with on_the_kernel(work) as (other, found):
            assert (tree(other), found) == expected
        assert in_the_oldest_way(work) == expected
        assert sorted(os.listdir(directory)) + sorted(os.listdir(f"{directory}/deep")) == before
        assert sorted(os.listdir(image)) == sorted({"d", *(name for name in links if "/" not in name)})
