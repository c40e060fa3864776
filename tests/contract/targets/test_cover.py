"""Covering a file, as devproxy/targets/target.py says it for every target."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from devproxy.targets.target import Target
from tests.contract.targets.rig import Build, bind_root, overlay_root, told

CONTENTS = b"of ours\n" * 1000


@pytest.mark.rows("H13", oracle="kernel")
def test_cover_shows_our_contents_and_leaves_the_file(build: Build, image: str) -> None:
    def work(target: Target) -> list[str]:
        bind_root(target, image)
        return [told(target.cover, "/etc/name", CONTENTS, 0o444), told(target.cover, "/file", b"", 0o640)]

    with build(work) as (root, result):
        assert result == ["True", "True"]
        assert root.read_bytes("/etc/name") == CONTENTS
        assert root.read_bytes("/file") == b""
        found = root.stat("/etc/name")
        assert (stat.S_IFMT(found.st_mode), stat.S_IMODE(found.st_mode)) == (stat.S_IFREG, 0o444)
        assert (found.st_uid, found.st_gid) == (0, 0)
        assert stat.S_IMODE(root.stat("/file").st_mode) == 0o640
    assert (Path(image) / "etc/name").read_text() == "of the image\n"


@pytest.mark.rows("H13", oracle="kernel")
def test_what_covers_is_a_mount_that_allows_nothing_but_reading(build: Build, image: str) -> None:
    def work(target: Target) -> str:
        overlay_root(target, image)
        return told(target.cover, "/file", CONTENTS, 0o666)

    with build(work) as (root, _):
        (line,) = [line for line in root.mountinfo() if line.mount_point == "/file"]
        assert {"ro", "nosuid", "nodev", "noexec", "relatime"} == set(line.options)
        assert line.fstype == "tmpfs"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/missing", "False"),
        ("/file/x", "False"),
        ("/nowhere", "False"),
        ("/etc", "EISDIR /etc"),
        ("/to-mnt", "EISDIR /to-mnt"),
        ("/loop", "ELOOP /loop"),
        ("/to-file", "True"),
        ("/pipe", "True"),
    ],
)
def test_cover_takes_what_is_there_and_no_directory(build: Build, image: str, path: str, expected: str) -> None:
    def work(target: Target) -> str:
        overlay_root(target, image)
        return told(target.cover, path, CONTENTS, 0o444)

    with build(work) as (root, result):
        assert result == expected
        if expected == "True":
            assert root.read_bytes(path) == CONTENTS


def test_cover_stays_inside_the_root(build: Build, image: str, tmp_path: Path) -> None:
    def work(target: Target) -> str:
        overlay_root(target, image)
        return told(target.cover, "/out", CONTENTS, 0o444)

    with build(work) as (_, result):
        assert result == "False"
    assert (tmp_path / "secret").read_text() == "outside\n"


def test_covers_stack_and_may_be_masked(build: Build, image: str) -> None:
    def work(target: Target) -> list[str]:
        overlay_root(target, image)
        told(target.cover, "/file", b"one", 0o444)
        return [told(target.cover, "/file", b"two", 0o400), told(target.mask, "/etc"), told(target.seal_path, "/file")]

    with build(work) as (root, result):
        assert result == ["True", "True", "True"]
        assert root.read_bytes("/file") == b"two"
        assert os.path.basename("/file") in root.listdir("/")
