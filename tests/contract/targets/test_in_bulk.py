"""What a target may do in bulk, or at once: it does it as one by one, or leaves it (devproxy/targets/target.py)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from devproxy.mount_options import Attribute, Change
from devproxy.targets.target import Detached, Target
from tests.contract.targets.rig import Build, bind_root, overlay_root, tmpfs, told

READ_ONLY = Change(set=Attribute.RDONLY)


def test_mounts_are_attached_up_to_the_first_that_needs_more(build: Build, image: str) -> None:
    """/etc/here is a directory, /etc/link leads to one, /etc/file is a file, and what comes behind it is not asked for."""
    for name in ("one", "two", "real", "never"):
        (Path(image) / "etc" / name).mkdir()
    (Path(image) / "etc/link").symlink_to("real")

    def work(target: Target) -> list[object]:
        bind_root(target, image)
        asked: list[str] = []
        places = ["/etc/one", "/etc/two", "/etc/link", "/etc/never"]

        def mounts() -> Iterator[tuple[Detached, str]]:
            for path in places[len(asked) :]:
                asked.append(path)
                yield left[path], path

        left = {path: tmpfs(target, change=READ_ONLY) for path in places}
        done = target.attach_all(mounts())
        for path in places[done:3]:
            target.attach(left[path], path)
        return [done <= 2, asked[:done] == places[:done], told(target.make_directory, "/etc/one/x", 0o755)]

    with build(work) as (root, result):
        assert result == [True, True, "EROFS /etc/one/x"]
        points = [line.mount_point for line in root.mountinfo()]
        assert points[1:] == ["/etc/one", "/etc/two", "/etc/real"]


def test_directories_are_told_at_a_glance_up_to_the_first_that_are_not(build: Build, image: str) -> None:
    def work(target: Target) -> list[int]:
        source = target.open_source(image)
        paths = (
            ("/dev", "/srv/deep", "/to-mnt/..", "/to-mnt", "/etc"),
            ("/file",),
            ("/no/thing",),
            ("/../etc", "/loop/x"),
        )
        found = [target.directories_in(source, each) for each in paths]
        overlay = target.overlay(source)
        target.attach(overlay, "/")
        return found

    with build(work) as (_, found):
        assert found in ([3, 0, 0, 1], [0, 0, 0, 0])


def test_a_directory_of_the_host_is_bound_at_once_or_not_at_all(build: Build, image: str, tmp_path: Path) -> None:
    source = tmp_path / "bound"
    (source / "inside").mkdir(parents=True)
    (tmp_path / "link").symlink_to("bound")
    (tmp_path / "nowhere").symlink_to("nothing")
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")

    def work(target: Target) -> list[object]:
        bound = target.bind_directory(f"{tmp_path}/link", READ_ONLY)
        names = ("file", "fifo", "nowhere", "missing", "file/x", "a\0b", "x" * 5000)
        refused = [target.bind_directory(f"{tmp_path}/{name}", READ_ONLY) for name in names]
        if bound is None:
            bound = target.bind(target.open_source(f"{tmp_path}/link"), recursive=False, change=READ_ONLY)
        overlay_root(target, image)
        target.attach(bound, "/mnt")
        return [bound.is_directory, *refused, told(target.make_directory, "/mnt/x", 0o755)]

    with build(work) as (root, result):
        assert result == [True, *[None] * 7, "EROFS /mnt/x"]
        assert root.listdir("/mnt") == ["inside"]
