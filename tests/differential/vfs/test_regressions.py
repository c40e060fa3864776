"""Programs that our tmpfs and the kernel's once answered differently, as small as they were found."""

from __future__ import annotations

import os
import stat

import pytest

from tests.differential.vfs.explore import check
from tests.differential.vfs.programs import GRANT, LARGEST, Call
from tests.differential.vfs.test_tmpfs import COMPARISON, FULL_COMPARISON

pytestmark = pytest.mark.root

_NEW = os.O_RDWR | os.O_CREAT | os.O_NONBLOCK
PROGRAMS = {
    "a chown that names nobody drops set-id bits": [
        Call("open", (0, "d", _NEW, 0o6711), "user"),
        Call("chown", ("d", -1, -1, True), "user, overriding"),
    ],
    "who is no owner drops no set-id bits by chown": [
        Call("open", (0, "d", _NEW, 0o6711)),
        Call("chown", ("d", 1001, -1, True), "user, giving"),
    ],
    "O_CREAT takes no socket of another in a sticky directory": [
        Call("mkdir", ("a", 0o1777), "user, overriding"),
        Call("mknod", ("a/d", stat.S_IFSOCK, 0o755, 0), "member"),
        Call("open", (1, "a/d", os.O_CREAT | os.O_NONBLOCK, 0o666)),
    ],
    "O_PATH is no descriptor for fallocate": [
        Call("mkdir", ("d", 0o777)),
        Call("open", (2, "d", os.O_PATH, 0)),
        Call("fallocate", (2, 0, 1, 0)),
    ],
    "an empty capability stays": [
        Call("open", (2, "c", _NEW, 0o777)),
        Call("setxattr", ("c", "security.capability", b"", 0, True), "user, searching"),
        Call("truncate", ("c", 5)),
        Call("listxattr", ("c", True)),
        Call("getxattr", ("c", "security.capability", True)),
    ],
    "a capability goes with the contents": [
        Call("open", (2, "c", _NEW, 0o777)),
        *(
            call
            for change in (Call("write", (2, b"x")), Call("chown", ("c", -1, -1, True)), Call("ftruncate", (2, 0)))
            for call in (
                Call("setxattr", ("c", "security.capability", GRANT, 0, True)),
                change,
                Call("listxattr", ("c", True)),
            )
        ),
    ],
    "a mode of fallocate that is known asks for a descriptor": [
        Call("open", (0, "a", _NEW, 0o777)),
        Call("open", (1, "a", os.O_RDONLY, 0)),
        Call("fallocate", (1, 128, 1, 1)),
    ],
    "a truncation to the same size leaves the time": [
        Call("open", (0, "a", _NEW, 0o777)),
        Call("utime", ("a", "now", -1, True)),
        Call("truncate", ("a", 0)),
    ],
    "a truncation to the same size moves the time where there are pages": [
        Call("open", (2, "d", _NEW, 0o777), "user"),
        Call("write", (2, b"x"), "user"),
        Call("utime", ("d", "omit", 5, False), "user"),
        Call("truncate", ("d", 1)),
    ],
    "ftruncate to the same size frees what was allocated": [
        Call("open", (0, "a", _NEW, 0o777)),
        Call("fallocate", (0, 1, 4095, 10000)),
        Call("utime", ("a", "now", -1, True)),
        Call("ftruncate", (0, 0)),
    ],
    "a directory has no end to seek from": [
        Call("mkdir", ("d", 0o777)),
        Call("open", (2, "d", os.O_RDONLY, 0)),
        Call("seek", (2, -1, os.SEEK_END)),
        Call("seek", (2, 1, os.SEEK_CUR)),
    ],
    "a changed link is looked at again": [
        Call("symlink", ("x" * 128, "d")),
        Call("truncate", ("d", 1)),
        Call("utime", ("d", -1, "now", False)),
        Call("listdir", ("d",)),
    ],
    "a position and a length must not wrap": [
        Call("open", (1, "c", _NEW, 0o666)),
        Call("pread", (1, 5, LARGEST)),
        Call("pwrite", (1, b"x", LARGEST)),
        Call("seek", (1, LARGEST, os.SEEK_SET)),
        Call("read", (1, 1)),
        Call("write", (1, b"x")),
    ],
    "an append without room for it leaves the position": [
        Call("open", (0, "a", _NEW, 0o666)),
        Call("open", (2, "a", os.O_RDWR | os.O_APPEND, 0)),
        Call("ftruncate", (0, LARGEST)),
        Call("write", (2, b"zzz")),
        Call("read", (2, 5)),
        Call("ftruncate", (0, 0)),
    ],
    "the last page of all goes with a truncation": [
        Call("open", (0, "a", _NEW, 0o666)),
        Call("fallocate", (0, 0, LARGEST - 4096, 4096)),
        Call("truncate", ("a", 4095)),
    ],
    "a copy past the largest offset is too big": [
        Call("open", (0, "a", _NEW, 0o666)),
        Call("seek", (0, LARGEST, os.SEEK_SET)),
        Call("copy", (0, None, 0, None, 4096)),
        Call("copy", (0, None, 0, 0, 4096)),
        Call("copy", (0, 0, 0, 0, 4096)),
    ],
    "a directory that was removed tells nothing": [
        Call("mkdir", ("d", 0o777)),
        Call("open", (0, "d", os.O_RDONLY, 0)),
        Call("rmdir", ("d",)),
        Call("fdlist", (0,)),
    ],
    "a file without a name is given one once": [
        Call("open", (0, ".", os.O_TMPFILE | os.O_RDWR, 0o666)),
        Call("link_file", (0, "a")),
        Call("unlink", ("a",)),
        Call("link_file", (0, "a")),
        Call("fstat", (0,)),
    ],
    "with O_EXCL a file stays without a name": [
        Call("open", (0, ".", os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o666)),
        Call("link_file", (0, "a")),
    ],
    "other credentials than the opener's give no name": [
        Call("mkdir", ("d", 0o777)),
        Call("open", (0, "d", os.O_TMPFILE | os.O_RDWR, 0o666), "user"),
        Call("link_file", (0, "d/a"), "bare root"),
        Call("link_file", (0, "d/a"), "user, searching"),
    ],
    "exchanged directories change their parents": [
        *(Call("mkdir", (path, 0o777)) for path in ("a", "b", "a/d", "b/e")),
        Call("open", (0, "b/f", _NEW, 0o666)),
        Call("rename", ("a/d", "b/e", 2)),
        Call("rename", ("a/e", "b/f", 2)),
        Call("rename", ("a/d", "b/f", 2)),
        Call("rename", ("a", "b", 2), "user"),
    ],
    "a whiteout belongs to who moved": [
        Call("mkdir", ("a", 0o2777), "member"),
        Call("open", (0, "a/f", _NEW, 0o666), "user"),
        Call("rename", ("a/f", "a/g", 4), "user"),
        Call("rename", ("a/g", "a/h", 5), "member"),
        Call("rename", ("a/g", "a/f", 5), "member"),
    ],
}
FULL = {
    "a write that finds no room counts as one": [
        Call("open", (0, "c", _NEW, 0o666), "user"),
        Call("open", (1, "b", _NEW, 0o6777), "user"),
        Call("setxattr", ("b", "security.capability", GRANT, 0, True)),
        Call("fallocate", (0, 0, 0, 49152), "user"),
        Call("futime", (1, "omit", 5), "user"),
        Call("write", (1, b"y"), "user"),
        Call("listxattr", ("b", True)),
    ],
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_what_once_differed(program: list[Call]) -> None:
    check(COMPARISON, program)


@pytest.mark.parametrize("program", FULL.values(), ids=FULL)
def test_what_once_differed_without_room(program: list[Call]) -> None:
    check(FULL_COMPARISON, program)
