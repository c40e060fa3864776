"""`python -m devproxy.bench.many_files COUNT`: make so many empty files, 1,000 a directory, and print the bytes they take."""

from __future__ import annotations

import os
import stat
import sys

from vfs.credentials import ROOT
from vfs.fs.tmpfs import TmpfsType
from vfs.options import MknodOptions
from vfs.resolve import PathOperation
from vfs.virtual_filesystem import VirtualFilesystem

_A_DIRECTORY = 1000


def resident_bytes_of(count: int) -> int:
    """By how much the process's resident set grows (proc(5), statm)."""
    vfs = VirtualFilesystem()
    vfs.register_filesystem_type(TmpfsType())
    top = vfs.new_mount_namespace(ROOT, "none", "tmpfs").root
    options = MknodOptions(stat.S_IFREG | 0o644)
    before = _resident()
    for directory in range(count // _A_DIRECTORY):
        vfs.mkdir_at(ROOT, PathOperation(top, top, f"d{directory}"))
        for file in range(_A_DIRECTORY):
            vfs.mknod_at(ROOT, PathOperation(top, top, f"d{directory}/f{file}"), options)
    return _resident() - before


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.stdout.write(f"{resident_bytes_of(int(sys.argv[1]))}\n")
