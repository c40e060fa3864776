"""A rootfs that wants out: links and `..` at every place where something is mounted or made.

A directory beside the bundle, the canary, stands for the host. Whatever the image does, nothing appears in it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import devproxy
from devproxy.build import Root
from devproxy.errors import DevproxyError
from tests.bundles import runc_spec_like, write_bundle
from tests.hosts import host_with_gpus
from tests.roots import build_on

TARGETS = [pytest.param(name, marks=pytest.mark.root) for name in ("kernel", "oldest kernel")] + ["memory"]
PLACES = [
    "proc",
    "sys",
    "dev",
    "tmp",
    "mnt",
    "mnt/deep",
    "srv",
    "srvfile/file",
    "outside",
    "outside/null",
    "home",
    "home/me",
]


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "canary"
    directory.mkdir()
    (directory / "inside").mkdir()
    before = _shape(directory)
    yield directory
    assert _shape(directory) == before, "the rootfs reached the host"


def _shape(directory: Path) -> list[tuple[str, int, int]]:
    found = []
    for path in sorted([directory, *directory.rglob("*")]):
        stat = path.lstat()
        found.append((str(path.relative_to(directory)), stat.st_mode, stat.st_mtime_ns))
    return found


def bundle(tmp_path: Path) -> tuple[str, Path]:
    """A bundle that mounts and makes something at every place."""
    host = tmp_path / "host"
    (host / "volume").mkdir(parents=True)
    (host / "file").write_text("of the host\n")
    config = runc_spec_like(root={"readonly": False})
    config["mounts"] += [
        {"destination": "/mnt/deep", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/srv", "type": "bind", "source": str(host / "volume"), "options": ["bind", "ro"]},
        {"destination": "/srvfile/file", "type": "bind", "source": str(host / "file"), "options": ["bind"]},
    ]
    config["linux"]["devices"] = [
        {"path": "/outside/null", "type": "c", "major": 1, "minor": 3},
        {"path": "/dev/nvidia0", "type": "c", "major": 195, "minor": 0},
    ]
    config["process"]["cwd"] = "/home/me"
    made = write_bundle(tmp_path / "bundle", config)
    return made, Path(made) / "rootfs"


def put(rootfs: Path, place: str, target: str) -> None:
    """A link at `place`, instead of what the image has there."""
    path = rootfs / place
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.symlink_to(target)


def built(directory: str, target: str, overlay: str) -> Root | DevproxyError:
    """The root, or the error that refused it."""
    from devproxy.oci.configuration import parse_configuration

    configuration, _ = parse_configuration(None, [f"overlay2={overlay}"])
    plan = devproxy.plan(devproxy.load(directory), host_with_gpus(), mode="spec", config=configuration)
    try:
        return build_on(plan, target)
    except DevproxyError as error:
        # An answer too: only reaching the host is none.
        return error


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("overlay", ["none", "root:memory"])
@pytest.mark.parametrize("place", PLACES)
def test_a_link_to_the_host_stays_inside(place: str, overlay: str, target: str, tmp_path: Path, canary: Path) -> None:
    directory, rootfs = bundle(tmp_path)
    put(rootfs, place, str(canary))
    result = built(directory, target, overlay)
    if isinstance(result, Root):
        result.close()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("place", PLACES)
def test_dots_stay_inside(place: str, target: str, tmp_path: Path, canary: Path) -> None:
    directory, rootfs = bundle(tmp_path)
    # As many dots as lead from the place to the canary for whoever does not stop at the root.
    up = "/".join([".."] * (len(rootfs.parts) + place.count("/")))
    put(rootfs, place, up + str(canary))
    result = built(directory, target, "none")
    if isinstance(result, Root):
        result.close()


@pytest.mark.parametrize("target", TARGETS)
def test_destinations_with_dots_stay_inside(target: str, tmp_path: Path, canary: Path) -> None:
    directory, _ = bundle(tmp_path)
    config = runc_spec_like()
    config["mounts"] += [
        {"destination": "/../../../../../../../../.." + str(canary / "inside"), "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/a/../../../.." + str(canary / "new"), "type": "tmpfs", "source": "tmpfs"},
    ]
    config["linux"]["devices"] = [{"path": "/../.." + str(canary / "node"), "type": "c", "major": 1, "minor": 3}]
    directory = write_bundle(tmp_path / "dots", config)
    result = built(directory, target, "root:memory")
    assert isinstance(result, Root)
    with result as root:
        assert root.lstat(str(canary / "node")).st_rdev == os.makedev(1, 3)


@pytest.mark.parametrize("target", TARGETS)
def test_the_root_itself_may_be_a_link_of_the_hosts(target: str, tmp_path: Path, canary: Path) -> None:
    directory, rootfs = bundle(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    rootfs.rename(elsewhere)
    rootfs.symlink_to(elsewhere)
    result = built(directory, target, "root:memory")
    assert isinstance(result, Root)
    result.close()
    assert "outside" not in os.listdir(elsewhere)
    assert _shape(canary)


@pytest.mark.parametrize("target", TARGETS)
def test_a_dangling_link_is_no_place_for_a_file(target: str, tmp_path: Path, canary: Path) -> None:
    directory, rootfs = bundle(tmp_path)
    put(rootfs, "srvfile/file", str(canary / "made"))
    result = built(directory, target, "none")
    if isinstance(result, Root):
        with result as root:
            assert root.read_bytes("/srvfile/file") == b"of the host\n"
