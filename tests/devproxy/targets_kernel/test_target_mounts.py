"""The verbs that attach and change mounts, each on every way that this kernel has."""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from typing import Any

import pytest

from devproxy.mount_options import Attribute, Change, Propagation
from devproxy.targets.kernel.paths import KernelPaths
from devproxy.targets.kernel.target import KernelTarget
from tests.devproxy.targets_kernel.rig import (
    bind_root,
    build,
    table,
    tmpfs,
)
from tests.devproxy.targets_kernel.verbs import errno_of

pytestmark = pytest.mark.root


@pytest.mark.parametrize("link", ["/to-mnt", "/up", "/srv/../to-mnt", "/../../mnt"])
def test_a_final_link_is_followed_inside_the_root(paths: KernelPaths, rootfs: Path, link: str) -> None:
    def work(target: KernelTarget) -> None:
        bind_root(target, rootfs)
        target.attach(tmpfs(target), link)

    with build(work, paths=paths) as root:
        assert table(root)[-1][:2] == ("/mnt", "tmpfs")


@pytest.mark.rows("S53", "H23", oracle="kernel")
def test_kinds_have_to_match(paths: KernelPaths, rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("data")

    def work(target: KernelTarget) -> list[Any]:
        file = target.bind(target.open_source(str(tmp_path / "data")), recursive=False)
        bind_root(target, rootfs)
        answers: list[Any] = [
            errno_of(target.attach, file, "/mnt"),
            errno_of(target.attach, file, "/missing"),
            errno_of(target.attach, file, "/file/below"),
            errno_of(target.attach, file, "/nowhere"),
            errno_of(target.attach, tmpfs(target), "/file"),
            errno_of(target.attach, tmpfs(target), "/missing"),
        ]
        target.attach(file, "/file")
        return answers

    with build(work, paths=paths) as root:
        assert root.outcomes == ["EISDIR", "ENOENT", "ENOTDIR", "ENOENT", "ENOTDIR", "ENOENT"]
        assert root.read_bytes("/file") == b"data"


def test_a_recursive_bind_brings_what_is_mounted_below(paths: KernelPaths, rootfs: Path) -> None:
    def work(target: KernelTarget) -> list[Any]:
        whole, alone = target.open_source("/sys"), target.open_source("/sys")
        bind_root(target, rootfs)
        target.attach(target.bind(whole, recursive=True), "/mnt")
        target.attach(target.bind(alone, recursive=False), "/srv")
        return []

    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        below = sum(line.split()[4].startswith("/sys/") for line in file)
    with build(work, paths=paths) as root:
        points = [point for point, _, _ in table(root)]
    assert sum(point.startswith("/mnt/") for point in points) == below > 0
    assert not any(point.startswith("/srv/") for point in points)


def test_a_recursive_change_reaches_every_mount_below(paths: KernelPaths, rootfs: Path) -> None:
    def work(target: KernelTarget) -> None:
        source = target.open_source("/sys")
        bind_root(target, rootfs)
        mount = target.bind(source, recursive=True)
        target.change(mount, Change(Attribute.RDONLY | Attribute.NOATIME, atime=True), recursive=True)
        target.attach(mount, "/mnt")

    with build(work, paths=paths) as root:
        options = [options for point, _, options in table(root) if point.startswith("/mnt")]
    assert len(options) > 1
    assert all("ro" in each and "noatime" in each for each in options)


def test_a_change_clears_what_it_says(paths: KernelPaths, rootfs: Path) -> None:
    def work(target: KernelTarget) -> None:
        bind_root(target, rootfs)
        mount = tmpfs(target, change=Change(Attribute.NOSUID | Attribute.NOATIME, atime=True))
        target.change(mount, Change(clear=Attribute.NOSUID, atime=True), recursive=False)
        target.attach(mount, "/mnt")

    with build(work, paths=paths) as root:
        assert table(root)[-1][2] == ("rw", "relatime")


def test_the_last_mount_is_on_top(paths: KernelPaths, rootfs: Path) -> None:
    def work(target: KernelTarget) -> None:
        bind_root(target, rootfs)
        for mode in ("mode=0700", "mode=0711"):
            target.attach(tmpfs(target, mode), "/mnt")

    with build(work, paths=paths) as root:
        assert stat.S_IMODE(root.stat("/mnt").st_mode) == 0o711


def test_the_first_mount_is_the_root() -> None:
    with pytest.raises(OSError) as caught:
        build(lambda target: target.attach(tmpfs(target), "/mnt"))
    assert caught.value.errno == errno.EINVAL


@pytest.mark.rows("H24", oracle="kernel")
@pytest.mark.parametrize(
    ("propagation", "tag"),
    [(Propagation.SHARED, "shared"), (Propagation.PRIVATE, None), (Propagation.UNBINDABLE, "unbindable")],
)
@pytest.mark.parametrize("path", ["/mnt", "/"])
def test_propagation_is_set(
    paths: KernelPaths, rootfs: Path, propagation: Propagation, tag: str | None, path: str
) -> None:
    def work(target: KernelTarget) -> None:
        bind_root(target, rootfs)
        target.attach(tmpfs(target), "/mnt")
        target.propagate(path, propagation, recursive=False)

    with build(work, paths=paths) as root:
        line = next(line for line in root.mountinfo() if line.mount_point == path)
    assert [each.partition(":")[0] for each in line.tags] == ([tag] if tag else [])


def test_a_bind_is_a_slave_where_the_host_shares(rootfs: Path) -> None:
    """What is mounted inside never shows outside, whatever the host shares."""

    def work(target: KernelTarget) -> None:
        host = target.bind(target.open_source("/"), recursive=True)
        bind_root(target, rootfs)
        target.attach(host, "/mnt")
        target.attach(tmpfs(target), "/mnt/tmp")

    with build(work) as root:
        assert not any("shared" in tag for line in root.mountinfo() for tag in line.tags)
