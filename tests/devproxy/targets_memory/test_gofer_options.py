"""Options of binds that are about gVisor's gofer: what they ask for holds here without one (H21)."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import devproxy
from devproxy.build import Root
from devproxy.errors import InputError
from devproxy.oci.configuration import Configuration
from devproxy.plan.steps import Level, Skip
from tests.bundles import runc_spec_like, write_bundle
from tests.devproxy.oci.parsing import parse_mount
from tests.devproxy.plan.planning import bare, mount, steps_of
from tests.hosts import host_with_gpus


@pytest.mark.rows("H21", oracle="specification")
def test_they_are_told_and_not_given_to_the_kernel() -> None:
    words = ["overlayfs_stale_read", "disable_file_handle_sharing", "ro"]
    plan = bare(mounts=[mount("/m", "bind", *words)], config=Configuration(strict=True))
    assert [(step.what, step.level) for step in steps_of(plan, Skip) if "mount option" in step.what] == [
        ("the mount option overlayfs_stale_read", Level.NOTE),
        ("the mount option disable_file_handle_sharing", Level.NOTE),
    ]
    assert parse_mount(type="bind", source="/s", options=words).options.data == ()


@pytest.mark.rows("H21", oracle="specification")
def test_a_limit_that_is_not_kept_is_a_warning() -> None:
    plan = bare(mounts=[mount("/m", "bind", "dcache=100")])
    assert [(step.what, step.level) for step in steps_of(plan, Skip)] == [
        ("the mount option dcache=100", Level.WARNING)
    ]
    with pytest.raises(InputError, match="dcache=100"):
        bare(mounts=[mount("/m", "bind", "dcache=100")], config=Configuration(strict=True))


@pytest.mark.rows("H21", oracle="specification")
@pytest.mark.parametrize(
    ("fstype", "option"),
    [
        ("bind", "dcache=few"),
        ("bind", "dcache"),
        ("bind", "dcache=-1"),
        ("tmpfs", "dcache=1"),
        ("tmpfs", "overlayfs_stale_read"),
    ],
)
def test_they_are_of_binds_alone_and_checked(fstype: str, option: str) -> None:
    with pytest.raises(InputError, match=r"mounts\[0\]\.options\[0\] is "):
        parse_mount(type=fstype, source="/s", options=[option])


@pytest.fixture
def layered(tmp_path: Path) -> Iterator[Path]:
    """An overlay of the host's, with one file in its lower layer."""
    for name in ("lower", "upper", "merged"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower/file").write_text("before")
    merged = tmp_path / "merged"
    # On a tmpfs of its own: what is below /tmp may be an overlay, which cannot be an upper layer.
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(tmp_path / "upper")], check=True)
    (tmp_path / "upper/up").mkdir()
    (tmp_path / "upper/work").mkdir()
    layers = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper/up,workdir={tmp_path}/upper/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(merged)], check=True)
    yield merged
    subprocess.run(["umount", str(merged)], check=True)
    subprocess.run(["umount", str(tmp_path / "upper")], check=True)


def built(tmp_path: Path, source: Path) -> Root:
    options = ["bind", "overlayfs_stale_read", "disable_file_handle_sharing"]
    config = runc_spec_like(mounts=[{"destination": "/s", "source": str(source), "options": options}])
    spec = devproxy.load(write_bundle(tmp_path / "bundle", config, rootfs="empty"))
    return devproxy.build(devproxy.plan(spec, host_with_gpus(0)), "memory")


@pytest.mark.root
def test_a_bind_without_its_mounts_shows_files_of_every_layer(tmp_path: Path, layered: Path) -> None:
    """A layer on another file system has a device number of its own there, and is no mount."""
    assert os.stat(layered / "file").st_dev != os.stat(layered).st_dev
    with built(tmp_path, layered) as root:
        assert root.read_bytes("/s/file") == b"before"


@pytest.mark.root
@pytest.mark.rows("H21", oracle="kernel")
def test_a_file_opened_before_it_is_copied_up_shows_what_is_written_later(tmp_path: Path, layered: Path) -> None:
    with built(tmp_path, layered) as root, root.open("/s/file") as early:
        (layered / "file").write_text("after!")
        assert early.read() == b"after!"


@pytest.mark.rows("H21", oracle="specification")
def test_a_file_that_is_closed_is_closed_on_the_host(tmp_path: Path) -> None:
    """A network file system writes back when a file is closed (close(2))."""
    (tmp_path / "source").mkdir()
    path = tmp_path / "source/file"
    path.write_text("x")

    def open_there() -> int:
        """How many descriptors of ours read the file; those that only name it (O_PATH) are not counted."""
        names = [name for name in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{name}")]
        held = [name for name in names if os.readlink(f"/proc/self/fd/{name}") == str(path)]
        return sum(not fcntl.fcntl(int(name), fcntl.F_GETFL) & os.O_PATH for name in held)

    with built(tmp_path, tmp_path / "source") as root:
        with root.open("/s/file") as one, root.open("/s/file") as two:
            assert (one.read(), two.read(), open_there()) == (b"x", b"x", 2)
            one.close()
            assert open_there() == 1
        assert open_there() == 0
