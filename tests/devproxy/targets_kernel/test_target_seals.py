"""The verbs that seal, mask and cover, each on every way that this kernel has."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from devproxy.mount_options import Attribute, Change
from devproxy.targets.kernel.paths import KernelPaths
from devproxy.targets.kernel.target import KernelTarget
from tests.devproxy.targets_kernel.rig import (
    bind_root,
    build,
    overlay_root,
    table,
    tmpfs,
)
from tests.devproxy.targets_kernel.verbs import NULL, errno_of

pytestmark = pytest.mark.root


def test_a_seal_is_for_the_topmost_mount(paths: KernelPaths, rootfs: Path) -> None:
    def work(target: KernelTarget) -> list[Any]:
        bind_root(target, rootfs)
        target.attach(tmpfs(target), "/mnt")
        target.attach(tmpfs(target), "/mnt")
        target.make_directory("/mnt/below", 0o755)
        target.attach(tmpfs(target), "/mnt/below")
        target.seal("/to-mnt")
        target.seal("/")
        return [errno_of(target.seal, "/etc"), errno_of(target.seal, "/missing")]

    with build(work, paths=paths) as root:
        assert root.outcomes == ["EINVAL", "ENOENT"]
        assert [(point, options[0]) for point, _, options in table(root)] == [
            ("/", "ro"),
            ("/mnt", "rw"),
            ("/mnt", "ro"),
            ("/mnt/below", "rw"),
        ]


def test_a_mount_that_is_written_is_not_sealed(rootfs: Path) -> None:
    def work(target: KernelTarget) -> None:
        bind_root(target, rootfs)
        target.attach(tmpfs(target), "/mnt")
        target.make_mount_point("/mnt/file", directory=False)
        assert target._tree is not None
        target._tree.open("/mnt/file", os.O_WRONLY)
        target.seal("/mnt")

    with pytest.raises(OSError) as caught:
        build(work)
    assert (caught.value.errno, caught.value.filename) == (errno.EBUSY, "/mnt")


def test_a_path_is_sealed_with_what_is_mounted_below(paths: KernelPaths, rootfs: Path) -> None:
    def work(target: KernelTarget) -> list[Any]:
        overlay_root(target, rootfs)
        target.attach(tmpfs(target, change=Change(Attribute.NOSUID)), "/srv/deep")
        return [target.seal_path(path) for path in ("/srv", "/file", "/missing", "/file/x", "/nowhere")]

    with build(work, paths=paths) as root:
        assert root.outcomes == [True, True, False, False, False]
        assert [(point, options[0]) for point, _, options in table(root)[2:]] == [
            ("/srv", "ro"),
            ("/srv/deep", "ro"),
            ("/file", "ro"),
        ]
        assert "nosuid" in table(root)[3][2]


def test_a_masked_file_is_the_null_device_and_a_masked_directory_is_empty(paths: KernelPaths, rootfs: Path) -> None:
    # What the root calls /dev/null is the attacker's: the mask must not be made of it.
    (rootfs / "dev/null").symlink_to("/etc/name")

    def work(target: KernelTarget) -> list[Any]:
        overlay_root(target, rootfs)
        return [target.mask(path) for path in ("/file", "/etc", "/srv", "/missing", "/file/x")]

    with build(work, paths=paths) as root:
        assert root.outcomes == [True, True, True, False, False]
        found = root.stat("/file")
        assert (stat.S_ISCHR(found.st_mode), found.st_rdev) == (True, NULL.rdev)
        assert (root.listdir("/etc"), root.listdir("/srv")) == ([], [])
        assert [options[0] for point, _, options in table(root) if point in ("/etc", "/srv")] == ["ro", "ro"]


def test_a_covered_file_shows_what_it_is_given_in_every_way(paths: KernelPaths, rootfs: Path) -> None:
    def work(target: KernelTarget) -> list[Any]:
        overlay_root(target, rootfs)
        return [target.cover(path, b"ours" * 1000, 0o440) for path in ("/file", "/etc/name", "/missing")]

    with build(work, paths=paths) as root:
        assert root.outcomes == [True, True, False]
        assert root.read_bytes("/file") == root.read_bytes("/etc/name") == b"ours" * 1000
        assert stat.S_IMODE(root.stat("/file").st_mode) == 0o440
        assert sorted(point for point, _, _ in table(root)) == ["/", "/etc/name", "/file"]
