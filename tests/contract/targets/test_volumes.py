"""Volumes of a pod, on every target."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from devproxy.linux.mountinfo import MountLine
from devproxy.mount_options import Attribute, Change
from devproxy.targets.root import Root
from devproxy.targets.target import Target
from tests.contract.targets.rig import Build, overlay_root, told

pytestmark = pytest.mark.rows("S63", "S65", "H22", oracle="kernel")

READ_ONLY = Change(Attribute.RDONLY)


def at(root: Root, path: str) -> MountLine:
    """The last mount at a path."""
    return [line for line in root.mountinfo() if line.mount_point == path][-1]


def test_the_same_volume_twice_is_one_file_system(build: Build, image: str) -> None:
    def work(target: Target) -> list[str]:
        overlay_root(target, image)
        makers = []
        for path, change in (
            ("/mnt", Change(Attribute.NOEXEC | Attribute.NOSUID)),
            ("/srv", READ_ONLY),
            ("/etc", Change()),
        ):
            volume = target.volume("/key", (), ("mode=0751",), "first")
            target.change(volume.mount, change, recursive=False)
            target.attach(volume.mount, path)
            makers.append(volume.maker)
        other = target.volume("/other", (), (), "second")
        target.attach(other.mount, "/srv/deep" if target.look("/srv/deep") else "/dev")
        return [*makers, other.maker]

    with build(work) as (root, makers):
        assert makers == ["", "first", "first", ""]
        assert {root.stat(path).st_mode & 0o7777 for path in ("/mnt", "/srv", "/etc")} == {0o751}
        assert len({root.stat(path).st_dev for path in ("/mnt", "/srv", "/etc")}) == 1
        assert root.stat("/dev").st_dev != root.stat("/mnt").st_dev
        with root.open("/mnt/file", "x") as file:
            file.write("said once")
        assert root.read_bytes("/srv/file") == root.read_bytes("/etc/file") == b"said once"
        with pytest.raises(OSError) as caught:
            root.open("/srv/more", "w")
        assert caught.value.errno == errno.EROFS
        assert {"noexec", "nosuid"} <= set(at(root, "/mnt").options)
        assert "ro" in at(root, "/srv").options
        # What one mount has, the next one does not begin with.
        assert not {"noexec", "nosuid", "ro"} & set(at(root, "/etc").options)


def test_a_volume_has_its_size(build: Build, image: str) -> None:
    def work(target: Target) -> None:
        overlay_root(target, image)
        target.attach(target.volume("/key", (), ("size=64k",), "").mount, "/mnt")

    with build(work) as (root, _):
        with pytest.raises(OSError) as caught, root.open("/mnt/file", "wb") as file:
            file.write(bytes(1 << 17))
        assert caught.value.errno == errno.ENOSPC


def test_an_option_that_tmpfs_does_not_take(build: Build, image: str) -> None:
    def work(target: Target) -> Any:
        overlay_root(target, image)
        return told(target.volume, "/key", (), ("size=much",), "")

    with build(work) as (_, said):
        assert said.startswith("EINVAL")
