"""Calls below the root of whatever is mounted, short enough for tests."""

from __future__ import annotations

import os

from tests.contract.filesystems.subjects import root_of
from vfs import ROOT, File, MkdirOptions, Mount, OpenOptions, PathOperation, VirtualFilesystem


class Tree:
    """Calls below the root of the subject."""

    def __init__(self, vfs: VirtualFilesystem, mount: Mount) -> None:
        self.vfs = vfs
        self.root = root_of(mount)

    def at(self, path: str) -> PathOperation:
        return PathOperation(self.root, self.root, path, follow_final_symlink=False)

    def open(self, path: str, flags: int = os.O_RDWR | os.O_CREAT) -> File:
        return self.vfs.open_at(ROOT, self.at(path), OpenOptions(flags, 0o640))

    def mkdir(self, path: str) -> None:
        self.vfs.mkdir_at(ROOT, self.at(path), MkdirOptions(0o750))

    def write(self, path: str, data: bytes) -> None:
        with self.open(path) as file:
            assert file.write(data) == len(data)

    def read(self, path: str) -> bytes:
        with self.open(path, os.O_RDONLY) as file:
            return file.read()

    def stat(self, path: str) -> os.stat_result:
        return self.vfs.stat_at(ROOT, self.at(path))

    def names(self, path: str) -> list[str]:
        return sorted(self.vfs.listdir_at(ROOT, self.at(path)))
