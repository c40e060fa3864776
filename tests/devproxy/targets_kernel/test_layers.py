"""Layers on the host: who holds them, what is left of them, and what is refused in a volume that a stranger filled."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.errors import DevproxyError
from devproxy.overlay import LAYERS, layer_name
from devproxy.targets.kernel.layers import HostLayers, open_layer
from devproxy.targets.kernel.removal import remove_tree
from tests.unprivileged import as_user

ONE, TWO = layer_name("1" * 12, 0), layer_name("2" * 12, 31)


def names(volume: Path) -> list[str]:
    return sorted(os.listdir(volume / LAYERS))


def leave_behind(volume: Path, name: str) -> Path:
    """What a killed run leaves: a layer that nobody holds."""
    (volume / LAYERS).mkdir(mode=0o700, exist_ok=True)
    layer = volume / LAYERS / name
    for part in ("upper", "work/work"):
        (layer / part).mkdir(parents=True)
    (layer / "upper/file").write_text("written\n")
    return layer


@pytest.mark.rows("S42", oracle="specification")
def test_nothing_is_left_behind(tmp_path: Path) -> None:
    layers = HostLayers()
    assert layers.add(str(tmp_path), ONE) == ""
    assert stat.S_IMODE((tmp_path / LAYERS).stat().st_mode) == 0o700
    (tmp_path / LAYERS / ONE / "upper").mkdir()
    layers.close()
    layers.close()
    assert os.listdir(tmp_path) == []


@pytest.mark.rows("S42", oracle="specification")
def test_s42_sandboxes_over_one_volume_do_not_touch_each_other(tmp_path: Path) -> None:
    one, two = HostLayers(), HostLayers()
    assert one.add(str(tmp_path), ONE) == ""
    assert two.add(str(tmp_path), TWO) == ""
    assert names(tmp_path) == [ONE, TWO]
    one.close()
    assert names(tmp_path) == [TWO]
    two.close()
    assert os.listdir(tmp_path) == []


@pytest.mark.rows("S42", oracle="specification")
def test_s42_what_killed_ones_left_is_removed_and_told(tmp_path: Path) -> None:
    living, next_one = HostLayers(), HostLayers()
    living.add(str(tmp_path), ONE)
    leave_behind(tmp_path, layer_name("a" * 12, 0))
    leave_behind(tmp_path, layer_name("b" * 12, 1))
    assert next_one.add(str(tmp_path), TWO) == "removed 2 layers that killed runs left"
    assert names(tmp_path) == [ONE, TWO]
    next_one.close()
    living.close()


def test_what_is_not_a_layer_stays(tmp_path: Path) -> None:
    (tmp_path / LAYERS).mkdir(0o700)
    (tmp_path / LAYERS / "mine").mkdir()
    layers = HostLayers()
    assert layers.add(str(tmp_path), ONE) == ""
    layers.close()
    assert names(tmp_path) == ["mine"]


def test_a_leftover_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    volume, canary = tmp_path / "volume", tmp_path / "canary"
    (canary / "upper").mkdir(parents=True)
    (volume / LAYERS).mkdir(mode=0o700, parents=True)
    (volume / LAYERS).chmod(0o700)
    (volume / LAYERS / ONE).symlink_to(canary)
    layers = HostLayers()
    assert layers.add(str(volume), TWO) == "1 layers that killed runs left cannot be removed"
    layers.close()
    assert os.listdir(canary) == ["upper"]


def _link(folder: Path, canary: Path) -> None:
    folder.symlink_to(canary)


def _dangling(folder: Path, canary: Path) -> None:
    folder.symlink_to(canary / "missing")


def _file(folder: Path, _: Path) -> None:
    folder.write_text("")


def _fifo(folder: Path, _: Path) -> None:
    os.mkfifo(folder)


def _open_to_all(folder: Path, _: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)


def _of_another(folder: Path, _: Path) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder, 1234, 1234)


@pytest.mark.root
@pytest.mark.parametrize("put", [_link, _dangling, _file, _fifo, _open_to_all, _of_another])
def test_a_folder_that_is_not_ours_is_refused(tmp_path: Path, put: Callable[[Path, Path], None]) -> None:
    volume, canary = tmp_path / "volume", tmp_path / "canary"
    volume.mkdir()
    canary.mkdir(mode=0o700)
    put(volume / LAYERS, canary)
    layers = HostLayers()
    with pytest.raises(DevproxyError, match="expected a directory of uid 0 with mode 0700"):
        layers.add(str(volume), ONE)
    layers.close()
    base = os.open(volume, os.O_PATH)
    with pytest.raises(DevproxyError, match="expected a directory of uid 0 with mode 0700"):
        open_layer(base, ONE, str(volume))
    os.close(base)
    assert os.listdir(canary) == []
    assert os.listdir(volume) == [LAYERS]


def test_a_layer_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / LAYERS).mkdir(0o700)
    (tmp_path / LAYERS / ONE).symlink_to("/")
    base = os.open(tmp_path, os.O_PATH)
    with pytest.raises(NotADirectoryError):
        open_layer(base, ONE, str(tmp_path))
    os.close(base)


def test_many_at_once_neither_fail_nor_leave_anything(tmp_path: Path) -> None:
    def sandbox(number: int) -> None:
        for turn in range(8):
            layers = HostLayers()
            name = layer_name(f"{number:012x}", turn)
            assert layers.add(str(tmp_path), name) == ""
            (tmp_path / LAYERS / name / "upper").mkdir()
            layers.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(sandbox, range(8)))
    assert os.listdir(tmp_path) == []


# removing


def _removed(parent: Path, name: str) -> None:
    descriptor = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        remove_tree(descriptor, name)
    finally:
        os.close(descriptor)


def test_a_tree_of_any_depth_is_removed_with_few_descriptors(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(3000):  # deeper than a path can say, or a stack of calls can go
        os.mkdir("down", dir_fd=here)
        below = os.open("down", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    _removed(tmp_path, "down")
    assert os.listdir(tmp_path) == []


def test_a_removal_that_was_cut_short_is_finished(tmp_path: Path) -> None:
    (tmp_path / "layer/0.removed/in").mkdir(parents=True)
    (tmp_path / "layer/1.removed").write_text("")
    (tmp_path / "layer/upper/a/b").mkdir(parents=True)
    _removed(tmp_path, "layer")
    assert os.listdir(tmp_path) == []


def test_an_ordinary_user_removes_what_he_may_not_enter() -> None:
    def work(directory: Path) -> list[str]:
        (directory / "layer/work/work/#1").mkdir(parents=True)
        (directory / "layer/work/work").chmod(0)
        (directory / "layer/work").chmod(0o500)
        _removed(directory, "layer")
        return os.listdir(directory)

    assert as_user(work) == []


@pytest.mark.parametrize("target", ["/", "..", "missing", "canary"])
def test_a_link_is_no_tree(tmp_path: Path, target: str) -> None:
    (tmp_path / "canary").mkdir()
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(NotADirectoryError):
        _removed(tmp_path, "link")
    assert sorted(os.listdir(tmp_path)) == ["canary", "link"]


NAMES = st.sampled_from(["a", "b", "0.removed", "1.removed", ".devproxy.overlay", "upper", "\udcff"])
PLACES = st.lists(NAMES, min_size=1, max_size=5).map("/".join)


@given(st.dictionaries(PLACES, st.sampled_from(["dir", "file", "fifo", "link", "out"]), max_size=12))
def test_any_tree_is_removed_and_nothing_else(tree: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        canary = Path(directory, "canary")
        canary.mkdir()
        (canary / "inside").write_text("")
        top = Path(directory, "top")
        top.mkdir()
        for place, what in tree.items():
            _put(top / place, what, canary)
        _removed(Path(directory), "top")
        assert os.listdir(directory) == ["canary"]
        assert os.listdir(canary) == ["inside"]


def _put(path: Path, what: str, canary: Path) -> None:
    # Not through a link that was put there before: it may lead out.
    if any(parent.is_symlink() for parent in path.parents):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if what == "dir":
            path.mkdir()
        elif what == "file":
            path.touch(exist_ok=False)
        elif what == "fifo":
            os.mkfifo(path)
        else:
            path.symlink_to(canary if what == "out" else "a")
    except (FileExistsError, NotADirectoryError):
        return
