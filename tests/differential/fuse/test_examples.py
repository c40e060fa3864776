"""libfuse's example servers, unmodified, do through our client what their comments say."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.differential.fuse.servers import example, served
from tests.differential.fuse.worlds import REQUIRED
from tests.vfs.world import raises
from vfs import (
    ROOT,
    Credentials,
    File,
    FuseType,
    MountOptions,
    OpenOptions,
    PathOperation,
    VirtualDentry,
    VirtualFilesystem,
)
from vfs.fs.fuse.filesystem import FuseFilesystem

pytestmark = [pytest.mark.peer]


class Client:
    """Calls on a mounted server."""

    def __init__(self, vfs: VirtualFilesystem, root: VirtualDentry, process: int) -> None:
        self.vfs, self.root, self.process = vfs, root, process

    def at(self, path: str) -> PathOperation:
        return PathOperation(self.root, self.root, path)

    def stat(self, path: str) -> os.stat_result:
        return self.vfs.stat_at(ROOT, self.at(path))

    def open(self, path: str, flags: int = os.O_RDONLY, creds: Credentials = ROOT) -> File:
        return self.vfs.open_at(creds, self.at(path), OpenOptions(flags, 0o644))

    def listdir(self, path: str) -> list[str]:
        return self.vfs.listdir_at(ROOT, self.at(path))

    def read(self, path: str) -> bytes:
        with self.open(path) as file:
            return file.read()


@contextmanager
def client(*command: str) -> Iterator[Client]:
    vfs = VirtualFilesystem()
    vfs.register_filesystem_type(FuseType())
    with served(*command) as (descriptor, process):
        options = MountOptions(data=f"fd={descriptor},{REQUIRED}")
        mount = vfs.mount_disconnected(ROOT, "server", "fuse", options)
        try:
            yield Client(vfs, VirtualDentry(mount, mount.root), process.pid)
        finally:
            vfs.discard_mount(mount)


@pytest.mark.parametrize("program", ["hello", "hello_ll"])
def test_hello(program: str) -> None:
    with client(example(program)) as fuse:
        assert fuse.listdir("/") == ["hello"]
        info = fuse.stat("/hello")
        assert (info.st_mode, info.st_size) == (stat.S_IFREG | 0o444, 13)
        assert fuse.read("/hello").lower() == b"hello world!\n"
        with raises(errno.EACCES):
            fuse.open("/hello", os.O_RDWR)
        with raises(errno.ENOENT):
            fuse.stat("/other")
        with raises(errno.ENOSYS):
            fuse.vfs.mkdir_at(ROOT, fuse.at("/made"))
        with raises(errno.ENOTDIR):
            fuse.listdir("/hello")


def test_big_files_come_in_pieces_and_whole(tmp_path: Path) -> None:
    data = os.urandom(700_001)
    with client(example("passthrough_ll"), "-o", f"source={tmp_path}") as fuse:
        with fuse.open("/big", os.O_RDWR | os.O_CREAT) as file:
            assert file.write(data) == len(data)
            assert file.pread(len(data), 0) == data
            assert file.pread(300_000, 500_000) == data[500_000:]
        assert (tmp_path / "big").read_bytes() == data
        assert fuse.read("/big") == data


def test_a_long_listing_is_whole(tmp_path: Path) -> None:
    names = {f"a rather long name, number {number}" for number in range(700)}
    for name in names:
        (tmp_path / name).touch()
    with client(example("passthrough_ll"), "-o", f"source={tmp_path}") as fuse:
        for _ in range(2):
            assert set(fuse.listdir("/")) == names


def test_names_that_the_server_changes_are_noticed() -> None:
    command = [example("notify_inval_entry"), "--update-interval=1", "--timeout=1000"]
    for words in (command, [*command, "--only-expire"]):
        with client(*words) as fuse:
            (name,) = fuse.listdir("/")
            fuse.stat(f"/{name}")
            # The name is good for 1000 seconds unless the server says otherwise, which it does within one.
            limit = time.monotonic() + 60
            with pytest.raises(FileNotFoundError):
                while time.monotonic() < limit:
                    fuse.stat(f"/{name}")
                    time.sleep(0.05)


def test_ioctls() -> None:
    read_size, write_size = 0x8008_4500, 0x4008_4501
    with client(example("ioctl")) as fuse, fuse.open("/fioc", os.O_RDWR) as file:
        assert file.ioctl(write_size, (1000).to_bytes(8, "little")) == 0
        assert file.ioctl(read_size) == (1000).to_bytes(8, "little")
        with raises(errno.EINVAL):
            file.ioctl(0x4599)


def test_a_server_that_is_killed(tmp_path: Path) -> None:
    with client(example("passthrough_ll"), "-o", f"source={tmp_path}") as fuse:
        file = fuse.open("/file", os.O_RDWR | os.O_CREAT)
        os.kill(fuse.process, signal.SIGKILL)
        os.waitid(os.P_PID, fuse.process, os.WEXITED | os.WNOWAIT)
        for _ in range(2):
            with raises(errno.ENOTCONN):
                file.write(b"x")
        with raises(errno.ENOTCONN):
            fuse.stat("/")
        with raises(errno.ENOTCONN):
            file.close()


def test_a_server_that_is_stopped(tmp_path: Path) -> None:
    with client(example("passthrough_ll"), "-o", f"source={tmp_path}") as fuse:
        fuse.stat("/")
        fs = fuse.root.mount.fs
        assert isinstance(fs, FuseFilesystem)
        fs.connection.timeout = 0.1
        os.kill(fuse.process, signal.SIGSTOP)
        try:
            with raises(errno.ETIMEDOUT):
                fuse.listdir("/")
            with raises(errno.ENOTCONN):
                fuse.listdir("/")
        finally:
            os.kill(fuse.process, signal.SIGCONT)


@pytest.mark.root
def test_an_overlay_by_others(tmp_path: Path) -> None:
    program = shutil.which("fuse-overlayfs")
    if program is None:
        pytest.skip("needs fuse-overlayfs")
    for name in ("lower", "upper", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower" / "file").write_bytes(b"below")
    (tmp_path / "lower" / "gone").touch()
    layers = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    with client(program, "-o", layers) as fuse:
        assert sorted(fuse.listdir("/")) == ["file", "gone"]
        with fuse.open("/file", os.O_WRONLY | os.O_APPEND) as file:
            file.write(b" and above")
        fuse.vfs.unlink_at(ROOT, fuse.at("/gone"))
        assert fuse.listdir("/") == ["file"]
        assert fuse.read("/file") == b"below and above"
    assert (tmp_path / "lower" / "file").read_bytes() == b"below"
    assert (tmp_path / "upper" / "file").read_bytes() == b"below and above"
