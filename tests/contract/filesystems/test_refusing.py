"""What a file system type in which nothing can be made says to those who try."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

import pytest

from tests.contract.filesystems.subjects import SUBJECTS, Subject, root_of
from vfs import ROOT, MknodOptions, Mount, OpenOptions, PathOperation, VirtualFilesystem

FIXED = [subject for subject in SUBJECTS if not subject.writable and not subject.flat]
REFUSALS = {errno.EPERM, errno.EROFS, errno.EACCES, errno.ENOENT, errno.ENOTDIR}
"""ENOENT is what Linux's proc says to those who would make something in it, ENOTDIR what cgroup says of a file's new name."""


@pytest.fixture(params=FIXED, ids=[subject.name for subject in FIXED])
def subject(request: pytest.FixtureRequest) -> Subject:
    chosen: Subject = request.param
    return chosen


def test_making_anything_is_refused_and_leaves_nothing(vfs: VirtualFilesystem, mount: Mount, subject: Subject) -> None:
    root = root_of(mount)
    new = PathOperation(root, root, "/new")
    calls: dict[str, Callable[[], object]] = {
        "mkdir": lambda: vfs.mkdir_at(ROOT, new),
        "open": lambda: vfs.open_at(ROOT, new, OpenOptions(os.O_CREAT | os.O_WRONLY)),
        "symlink": lambda: vfs.symlink_at(ROOT, new, "x"),
        "mknod": lambda: vfs.mknod_at(ROOT, new, MknodOptions(stat.S_IFIFO | 0o600)),
    }
    calls.pop(subject.makes, None)
    for call in calls.values():
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno in REFUSALS
    assert "new" not in vfs.listdir_at(ROOT, PathOperation(root, root, "/"))


def test_what_is_there_stays(vfs: VirtualFilesystem, mount: Mount) -> None:
    root = root_of(mount)
    for name in mount.root.inode.names():
        op = PathOperation(root, root, f"/{name}", follow_final_symlink=False)
        is_directory = stat.S_ISDIR(vfs.stat_at(ROOT, op).st_mode)
        with pytest.raises(OSError) as caught:
            (vfs.rmdir_at if is_directory else vfs.unlink_at)(ROOT, op)
        assert caught.value.errno in REFUSALS
        with pytest.raises(OSError) as caught:
            vfs.rename_at(ROOT, op, PathOperation(root, root, "/new"))
        assert caught.value.errno in REFUSALS
