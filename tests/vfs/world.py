"""A small world for tests: one VFS, one namespace on a tmpfs, and short names for its calls."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from vfs import (
    ROOT,
    Credentials,
    File,
    MkdirOptions,
    MknodOptions,
    Mount,
    MountFlags,
    MountOptions,
    OpenOptions,
    PathOperation,
    VirtualFilesystem,
)
from vfs.fs.devtmpfs import DevtmpfsType
from vfs.fs.tmpfs import TmpfsType
from vfs.options import NO_MOUNT_FLAGS

USER = Credentials(1000, 1000)


class World:
    """`vfs` with tmpfs and devtmpfs registered; `ns` is a namespace whose root is a tmpfs with mode 0755."""

    def __init__(self) -> None:
        self.vfs = VirtualFilesystem()
        self.vfs.register_filesystem_type(TmpfsType())
        self.vfs.register_filesystem_type(DevtmpfsType())
        self.ns = self.vfs.new_mount_namespace(ROOT, "none", "tmpfs", MountOptions(data="mode=0755"))

    def at(self, path: str, *, follow: bool = True) -> PathOperation:
        return PathOperation(self.ns.root, self.ns.root, path, follow)

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        self.vfs.mkdir_at(ROOT, self.at(path), MkdirOptions(mode))

    def mknod(self, path: str, mode: int = 0o100644, rdev: int = 0) -> None:
        self.vfs.mknod_at(ROOT, self.at(path), MknodOptions(mode, rdev))

    def symlink(self, target: str, path: str) -> None:
        self.vfs.symlink_at(ROOT, self.at(path), target)

    def stat(self, path: str, *, follow: bool = True) -> os.stat_result:
        return self.vfs.stat_at(ROOT, self.at(path, follow=follow))

    def open(self, path: str, flags: int = os.O_RDONLY, mode: int = 0o644) -> File:
        return self.vfs.open_at(ROOT, self.at(path), OpenOptions(flags, mode))

    def write(self, path: str, data: bytes) -> None:
        with self.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as file:
            assert file.write(data) == len(data)

    def read(self, path: str) -> bytes:
        with self.open(path) as file:
            return file.read()

    def mount(self, path: str, data: str = "", flags: MountFlags = NO_MOUNT_FLAGS) -> Mount:
        return self.vfs.mount_at(ROOT, "none", self.at(path), "tmpfs", MountOptions(flags, data))

    def listdir(self, path: str) -> list[str]:
        return sorted(self.vfs.listdir_at(ROOT, self.at(path)))


@contextmanager
def raises(number: int) -> Iterator[None]:
    """Exactly this errno."""
    with pytest.raises(OSError) as caught:
        yield
    assert caught.value.errno == number, (errno.errorcode[caught.value.errno or 0], caught.value)
