"""Overlays of directories and files, as every target makes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devproxy.overlay import LAYERS
from devproxy.targets.kernel.layers import HostLayers
from devproxy.targets.target import Target, Upper
from tests.contract.targets.rig import Build, bind_root, overlay_root, tmpfs_root, told

ABOVE = "0123456789ab.7"


def overlay_at(target: Target, path: str, source: str, upper: Upper) -> None:
    """Attach an overlay, making its mount point."""
    mount = target.overlay(target.open_source(source), upper)
    target.make_mount_point(path, directory=mount.is_directory)
    target.attach(mount, path)


def give(path: str, uid: int, gid: int) -> tuple[int, int]:
    """Give a file to somebody, if we may; whose it is then."""
    if os.geteuid() == 0:
        os.chown(path, uid, gid)
    found = os.stat(path)
    return found.st_uid, found.st_gid


@pytest.mark.rows("S45", oracle="kernel")
def test_s45_the_root_of_an_overlay_looks_like_the_lower_one(build: Build, image: str) -> None:
    owner = give(f"{image}/srv", 12, 34)
    os.chmod(f"{image}/srv", 0o3751)

    def work(target: Target) -> None:
        tmpfs_root(target)
        overlay_at(target, "/o", f"{image}/srv", Upper())

    with build(work) as (root, _):
        found = root.stat("/o")
    assert (found.st_mode, found.st_uid, found.st_gid) == (0o43751, *owner)


@pytest.mark.rows("S45", oracle="kernel")
def test_the_layers_of_others_are_hidden(build: Build, image: str) -> None:
    os.makedirs(f"{image}/{LAYERS}/other/upper")

    def work(target: Target) -> list[object]:
        overlay_root(target, image)
        return [
            target.look(f"/{LAYERS}"),
            LAYERS in target.list_directory("/"),
            target.make_directory(f"/{LAYERS}", 0o755),
        ]

    with build(work) as (root, result):
        assert result == [None, False, True]
        assert root.listdir(f"/{LAYERS}") == []
    assert os.listdir(f"{image}/{LAYERS}") == ["other"]


@pytest.mark.rows("S43", "S44", oracle="kernel")
def test_s43_s44_over_a_file_there_is_a_copy(build: Build, image: str) -> None:
    owner = give(f"{image}/file", 5, 6)
    os.chmod(f"{image}/file", 0o640)
    os.utime(f"{image}/file", ns=(10**18, 2 * 10**18))

    def work(target: Target) -> bool:
        mount = target.overlay(target.open_source(f"{image}/file"))
        bind_root(target, image)
        target.attach(mount, "/etc/name")
        return mount.is_directory

    with build(work) as (root, is_directory):
        assert not is_directory
        assert root.read_bytes("/etc/name") == b"a file\n"
        found = root.stat("/etc/name")
        assert (found.st_mode, found.st_uid, found.st_gid, found.st_size) == (0o100640, *owner, 7)
        assert found.st_mtime_ns == 2 * 10**18
        (line,) = [line for line in root.mountinfo() if line.mount_point == "/etc/name"]
        assert (line.fstype, line.options) == ("tmpfs", ("rw", "relatime"))


@pytest.mark.rows("S43", oracle="kernel")
def test_s43_what_is_neither_gets_none(build: Build, image: str) -> None:
    def work(target: Target) -> str:
        tmpfs_root(target)
        return told(target.overlay, target.open_source(f"{image}/pipe"))

    with build(work) as (_, result):
        assert result == f"EINVAL {image}/pipe"


@pytest.mark.rows("H18", "H21", oracle="kernel")
def test_a_size_is_held(build: Build, image: str) -> None:
    Path(image, "large").write_bytes(b"x" * 70000)

    def work(target: Target) -> list[str]:
        tmpfs_root(target)
        overlay_at(target, "/o", image, Upper("64k"))
        large = target.open_source(f"{image}/large")
        return [told(target.overlay, large, Upper("64k")), target.list_directory("/o/etc")[0]]

    with build(work) as (root, result):
        assert result == [f"ENOSPC {image}/large", "name"]
        assert root.stat("/o/large").st_size == 70000


@pytest.mark.rows("S42", oracle="kernel")
@pytest.mark.parametrize("elsewhere", [False, True])
def test_s42_a_layer_on_the_host(build: Build, image: str, tmp_path: Path, elsewhere: bool) -> None:
    (tmp_path / "layers").mkdir()
    directory = str(tmp_path / "layers") if elsewhere else ""
    layers = HostLayers()
    assert layers.add(directory or image, ABOVE) == ""

    def work(target: Target) -> list[bool]:
        target.attach(target.overlay(target.open_source(image), Upper("", ABOVE, directory)), "/")
        made = [target.make_directory("/etc/new", 0o700), target.make_directory("/mnt", 0o755)]
        return [*made, LAYERS in target.list_directory("/")]

    try:
        with build(work) as (root, result):
            assert result == [True, False, False]
            assert root.listdir("/etc") == ["name", "new"]
            assert root.read_bytes("/file") == b"a file\n"
            assert os.listdir(f"{image}/etc") == ["name"]
            assert os.listdir(f"{directory or image}/{LAYERS}") == [ABOVE]
    finally:
        layers.close()
    assert LAYERS not in os.listdir(directory or image)
