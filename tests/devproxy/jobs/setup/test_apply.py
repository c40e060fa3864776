"""One action at a time: what it takes the place of is what it was thought to be, or nothing happens; no moment shows half of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from devproxy.errors import DevproxyError
from devproxy.jobs.setup.action import Action, FileChange, LinkChange, NodeChange, Standing
from devproxy.jobs.setup.apply import Changed, apply
from devproxy.node import DeviceNumber
from tests.devproxy.jobs.setup.rig import tree

pytestmark = pytest.mark.root

NULL = Standing("c", DeviceNumber(1, 3), 0o640, 3, 4)
ZERO = Standing("c", DeviceNumber(1, 5), 0o666)


def node(path: Path, before: Standing | None, after: Standing | None) -> NodeChange:
    return NodeChange(str(path), before, after, "", "")


def make(path: Path, standing: Standing) -> None:
    apply(node(path, None, standing), lambda _: None)


def told(path: Path) -> str:
    return tree(str(path))[str(path)]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory as setup wants it."""
    (tmp_path / "dev").mkdir(mode=0o755)
    return tmp_path / "dev"


@pytest.mark.parametrize("umask", [0, 0o022, 0o777])
def test_a_node_has_its_mode_and_owner_whatever_the_umask(place: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        make(place / "x", NULL)
        make(place / "d", Standing("d", None, 0o755))
    finally:
        os.umask(before)
    assert told(place / "x") == "crw-r----- 3:4 1:3"
    assert told(place / "d") == "drwxr-xr-x 0:0"
    assert sorted(os.listdir(place)) == ["d", "x"]


def test_mode_and_owner_change_in_place(place: Path) -> None:
    make(place / "x", NULL)
    inode = (place / "x").lstat().st_ino
    apply(node(place / "x", NULL, NULL._replace(mode=0o600, uid=0)), lambda _: None)
    assert told(place / "x") == "crw------- 0:4 1:3"
    assert (place / "x").lstat().st_ino == inode


def test_what_is_not_as_it_was_seen_stays(place: Path) -> None:
    make(place / "x", NULL)
    wrong = [
        node(place / "x", ZERO, NULL),
        node(place / "x", None, ZERO),
        node(place / "x", NULL._replace(gid=9), None),
    ]
    for action in wrong:
        with pytest.raises(Changed):
            apply(action, _never)
    assert told(place / "x") == "crw-r----- 3:4 1:3"
    assert os.listdir(place) == ["x"]


def _never(_: Action) -> None:
    raise AssertionError("it is written down only when it is about to be done")


Evil = Callable[[Path], None]


def _file(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.write_text("mine")


def _link(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize("evil", [_file, _link], ids=["a file", "a link"])
@pytest.mark.parametrize("before", [None, NULL], ids=["made", "replaced"])
def test_what_comes_in_its_place_at_the_last_moment_is_not_lost(
    place: Path, before: Standing | None, evil: Evil
) -> None:
    """Between the last look and the step that counts."""
    if before is not None:
        make(place / "x", before)
    with pytest.raises((Changed, FileExistsError)):
        apply(node(place / "x", before, ZERO), lambda _: evil(place / "x"))
    assert os.listdir(place) == ["x"]
    assert told(place / "x") in ("-rw-r--r-- 0:0 'mine'", "-> /etc/passwd")


def test_a_mode_is_given_to_the_node_that_is_meant(place: Path) -> None:
    """A link in its place does not lead the mode to /etc/passwd."""
    make(place / "x", NULL)
    target = place / "target"
    target.write_text("")
    target.chmod(0o600)

    def swap(_: Action) -> None:
        (place / "x").unlink()
        (place / "x").symlink_to(target)

    with pytest.raises(Changed):
        apply(node(place / "x", NULL, NULL._replace(mode=0o666)), swap)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_links_are_turned_by_where_they_lead_and_come_back_in_their_words(place: Path) -> None:
    (place / "char").mkdir()
    (place / "char" / "1:3").symlink_to("./../char/../old")
    noted: list[Action] = []
    path = str(place / "char" / "1:3")
    apply(LinkChange(path, str(place / "old"), "../new", "", ""), noted.append)
    assert os.readlink(path) == "../new"
    apply(noted[0].inverse, noted.append)
    assert os.readlink(path) == "./../char/../old"


@pytest.mark.parametrize("evil", [_file, _link], ids=["a file", "a link"])
def test_a_link_that_is_changed_at_the_last_moment_stays(place: Path, evil: Evil) -> None:
    (place / "x").symlink_to("old")
    with pytest.raises(Changed):
        apply(LinkChange(str(place / "x"), "old", "new", "", ""), lambda _: evil(place / "x"))
    assert told(place / "x") in ("-rw-r--r-- 0:0 'mine'", "-> /etc/passwd")
    assert os.listdir(place) == ["x"]


def test_a_file_is_whole_and_nobodys_is_written_over(place: Path) -> None:
    path = place / "f"
    apply(FileChange(str(path), None, "one\n", "", ""), lambda _: None)
    assert told(path) == "-rw-r--r-- 0:0 'one\\n'"
    apply(FileChange(str(path), "one\n", "two\n", "", ""), lambda _: None)
    with pytest.raises(Changed):
        apply(FileChange(str(path), "one\n", "three\n", "", ""), _never)
    with pytest.raises(Changed):
        apply(FileChange(str(path), "two\n", "three\n", "", ""), lambda _: _link(path))
    assert told(path) == "-> /etc/passwd"
    path.unlink()
    path.write_text("two\n")
    with pytest.raises(Changed):
        apply(FileChange(str(path), "two\n", "three\n", "", ""), lambda _: _file(path))
    assert told(path) == "-rw-r--r-- 0:0 'mine'"
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(Changed):
        apply(FileChange(str(path), None, "x", "", ""), _never)
    assert os.listdir(place) == ["f"]


def test_a_directory_with_something_in_it_stays(place: Path) -> None:
    directory = Standing("d", None, 0o755)
    make(place / "d", directory)
    (place / "d" / "mine").touch()
    with pytest.raises(Changed, match="not empty"):
        apply(node(place / "d", directory, None), lambda _: None)
    (place / "d" / "mine").unlink()
    apply(node(place / "d", directory, None), lambda _: None)
    assert os.listdir(place) == []


@pytest.mark.parametrize("loose", ["writable", "link"])
def test_where_others_write_nothing_is_made(place: Path, loose: str) -> None:
    (place / "d").mkdir()
    (place / "d").chmod(0o777)
    (place / "l").symlink_to("/tmp")
    with pytest.raises(DevproxyError):
        make(place / ("d" if loose == "writable" else "l") / "x", NULL)
    assert os.listdir(place / "d") == []
