"""hostfs: who answers when a character device of the machine is opened (H21)."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from vfs.credentials import ROOT
from vfs.device import DeviceKind, DeviceNumber, OpenDevice, Registration
from vfs.file import File
from vfs.fs.hostfs import CharacterDevices, HostfsOptions, HostfsType
from vfs.mount import VirtualDentry
from vfs.options import MountOptions, OpenOptions
from vfs.resolve import PathOperation
from vfs.virtual_filesystem import VirtualFilesystem

pytestmark = [pytest.mark.root, pytest.mark.rows("H21", oracle="kernel")]


class Ours(OpenDevice):
    def open(self, number: DeviceNumber, flags: int) -> OpenDevice:
        return self

    def read(self, size: int, offset: int) -> bytes:
        return b"ours"[:size]


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    for name, minor in (("zero", 5), ("full", 7), ("urandom", 9)):
        os.mknod(tmp_path / name, stat.S_IFCHR | 0o600, os.makedev(1, minor))
    return tmp_path


@pytest.fixture
def opened(nodes: Path, request: pytest.FixtureRequest) -> Iterator[tuple[File, ...]]:
    """zero, which the VFS has a driver for, and full, which it has none for, if that opens."""
    vfs = VirtualFilesystem()
    vfs.register_filesystem_type(HostfsType())
    vfs.devices.register(Registration(DeviceKind.CHARACTER, DeviceNumber(1, 5), Ours(), "mem"))
    fd = os.open(nodes, os.O_PATH)
    options = HostfsOptions(fd, character_devices=request.param)
    mount = vfs.mount_disconnected(ROOT, "host", "hostfs", MountOptions(internal=options))
    os.close(fd)
    root = VirtualDentry(mount, mount.root)
    refused = request.param is CharacterDevices.EMULATED_ONLY
    if refused:
        with pytest.raises(OSError) as raised:
            vfs.open_at(ROOT, PathOperation(root, root, "full"), OpenOptions(os.O_RDWR))
        assert raised.value.errno == errno.ENXIO
    names = ("zero",) if refused else ("zero", "full")
    files = [vfs.open_at(ROOT, PathOperation(root, root, name), OpenOptions(os.O_RDWR)) for name in names]
    yield tuple(files)
    for file in files:
        file.close()
    vfs.discard_mount(mount)


@pytest.mark.parametrize("opened", [CharacterDevices.EMULATED_ONLY], indirect=True)
def test_without_a_word_only_drivers_of_the_vfs_answer(opened: tuple[File, ...]) -> None:
    (zero,) = opened
    assert zero.read(4) == b"ours"


@pytest.mark.parametrize("opened", [CharacterDevices.PREFER_EMULATED], indirect=True)
def test_the_machine_answers_for_what_the_vfs_has_no_driver_for(opened: tuple[File, ...]) -> None:
    zero, full = opened
    assert (zero.read(4), full.read(4)) == (b"ours", b"\0" * 4)


@pytest.mark.parametrize("opened", [CharacterDevices.PASSTHROUGH], indirect=True)
def test_passed_through_the_machine_answers_always(opened: tuple[File, ...]) -> None:
    zero, full = opened
    assert (zero.read(4), zero.pread(2, 100), full.read(4)) == (b"\0" * 4, b"\0" * 2, b"\0" * 4)
    with pytest.raises(OSError) as raised:
        full.write(b"x")
    assert raised.value.errno == errno.ENOSPC
    with pytest.raises(OSError) as raised:
        zero.ioctl(0x5401)  # TCGETS: no terminal
    assert raised.value.errno == errno.ENOTTY
    assert zero.seek(7) == 0  # as that driver has it (null_lseek)
