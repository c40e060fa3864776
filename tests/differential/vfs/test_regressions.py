"""Programs that our tmpfs and the kernel's once answered differently, as small as they were found."""

from __future__ import annotations

import os
import stat

import pytest

from tests.differential.vfs.explore import check
from tests.differential.vfs.programs import GRANT, Call
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
