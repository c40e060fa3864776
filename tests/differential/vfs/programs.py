"""Random programs of file system calls: the same text is run on the kernel's tmpfs and on ours.

Few names, so that calls meet each other's files; odd spellings of paths, because that is where file systems differ. Everything
is made by name; `slot` is a small number under which an open file is kept.
"""

from __future__ import annotations

import os
import stat
import struct
from typing import Any, NamedTuple

from tests.differential.vfs import recipes as st
from vfs.credentials import ALL_CAPABILITIES, NO_CAPABILITIES, Capability

USER, MEMBER, GROUP = 1000, 1001, 2000


class Actor(NamedTuple):
    """Whose credentials a call is made with; the group of an actor has its number too."""

    uid: int
    groups: tuple[int, ...] = ()
    capabilities: Capability = NO_CAPABILITIES


ACTORS = {
    "root": Actor(0, (), ALL_CAPABILITIES),
    "bare root": Actor(0),
    "root, obeying": Actor(0, (), ALL_CAPABILITIES & ~(Capability.DAC_OVERRIDE | Capability.DAC_READ_SEARCH)),
    "user": Actor(USER),
    "member": Actor(MEMBER, (USER, GROUP)),
    "user, overriding": Actor(USER, (), Capability.DAC_OVERRIDE),
    "user, searching": Actor(USER, (), Capability.DAC_READ_SEARCH),
    "user, owning": Actor(USER, (), Capability.FOWNER),
    "user, giving": Actor(USER, (), Capability.CHOWN),
    "user, keeping": Actor(USER, (), Capability.FSETID | Capability.CHOWN),
    "user, making": Actor(USER, (), Capability.MKNOD),
    "user, administering": Actor(USER, (), Capability.SYS_ADMIN),
    "user, granting": Actor(USER, (), Capability.SETFCAP),
}


class Call(NamedTuple):
    """One call, and which of `ACTORS` makes it."""

    name: str
    arguments: tuple[object, ...]
    who: str = "root"


WHO = st.one_of(st.just("root"), st.just("user"), st.sampled_from(list(ACTORS)))


NAMES = ("a", "b", "c", "d")
SLOTS = st.integers(0, 2)
LONGEST = "n" * 255
WIDE = "\u00e9" * 128  # 256 bytes in UTF-8
COMPONENTS = st.one_of(
    st.sampled_from(NAMES), st.sampled_from(NAMES), st.sampled_from([".", "..", LONGEST, LONGEST + "n", WIDE])
)


def _spelled(before: str, parts: list[str], between: str, after: str) -> str:
    return before + between.join(parts) + after


SPELLED = st.builds(
    _spelled,
    st.sampled_from(["", "", "", "/"]),
    st.lists(COMPONENTS, max_size=4),
    st.sampled_from(["/", "//"]),
    st.sampled_from(["", "", "", "/", "//"]),
)


PLAIN = st.sampled_from([*NAMES, "a", "b", "a", "a/b", "a/b", "a/c", "a/b/c", "b/a", "/d", "a/d"])
PATHS = st.one_of(*[PLAIN] * 7, SPELLED)
TARGETS = st.one_of(
    PATHS, st.sampled_from(["a/", "../a", "/a/b", "..", ".", "d/../c", "/", "b/.", "x" * 127, "x" * 128])
)

PERMISSIONS = st.sampled_from([0o777, 0o755, 0o700, 0o000, 0o644, 0o666, 0o1777, 0o2775, 0o4755, 0o6711, 0o311])
TMPFILE_BIT = os.O_TMPFILE & ~os.O_DIRECTORY
ACCESS = st.sampled_from([os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_ACCMODE])
CREATION_BITS = (os.O_CREAT, os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_NOFOLLOW, os.O_DIRECTORY, TMPFILE_BIT)
STATUS_BITS = (os.O_APPEND, os.O_PATH, os.O_NOATIME)
OPEN_BITS = st.lists(st.sampled_from(CREATION_BITS + STATUS_BITS), max_size=3)
OPEN_FLAGS = st.builds(lambda access, bits: access | sum(set(bits)) | os.O_NONBLOCK | os.O_CLOEXEC, ACCESS, OPEN_BITS)
_BY_NAME = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | TMPFILE_BIT
TMPFILE_FLAGS = st.sampled_from(
    [os.O_RDWR, os.O_WRONLY, os.O_RDONLY, os.O_RDWR | os.O_EXCL, os.O_RDWR | os.O_NOFOLLOW]
).map(os.O_TMPFILE.__or__)
_MADE = st.just(os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK)
NODE_TYPES = st.sampled_from(
    [0, stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFDIR, stat.S_IFLNK]
)
RDEVS = st.sampled_from([0, os.makedev(240, 7)])
IDS = st.sampled_from([-1, 0, USER, MEMBER, GROUP])
LARGEST = (1 << 63) - 1
OFFSETS = st.sampled_from([0, 1, 100, 4095, 4096, 4097, 8191, 12288, 20000, -1]) | st.sampled_from(
    [0, 1, 4096, 1 << 40, LARGEST]
)
"""Nothing is put into the last page of the largest file: Linux tells a negative end of it (SEEK_HOLE)."""
STATX_MASKS = st.sampled_from([0x7FF, 0xFFF, 0x4FFF, 0, 0x8000_0000])
_COPY_OFFSETS = st.sampled_from([None, None, 0, 1, 4096, 5000])
DATA = st.sampled_from([b"", b"x", b"hello world", b"y" * 4096, b"z" * 9000])
SIZES = st.sampled_from([0, 1, 4095, 4096, 5000, 20000, 1 << 40, -1]) | st.sampled_from(
    [0, 1, 5000, LARGEST - (1 << 20)]
)
_PLAIN_XATTRS = st.one_of(
    st.just("user.a"), st.sampled_from(["user.a", "user.b", "trusted.a", "security.a", "security.capability"])
)
XATTRS = st.one_of(
    _PLAIN_XATTRS,
    _PLAIN_XATTRS,
    st.sampled_from(
        ["user.", "trusted.", "security.", "system.", "system.a", "nospace", "other.a", "", "user." + "n" * 251]
    ),
)
GRANT = struct.pack("<5I", 0x0200_0001, 1 << 10, 0, 0, 0)
VALUES = st.sampled_from([b"", b"x", b"hello world", b"y" * 4096, GRANT, GRANT, GRANT[:-4], b"z" * 65537])
WHENCES = st.sampled_from([os.SEEK_SET, os.SEEK_CUR, os.SEEK_END, os.SEEK_DATA, os.SEEK_HOLE, 9])
TIMES = st.sampled_from([5, -1, "now", "omit"])
FALLOCATE = st.sampled_from([0, 0, 1, 1, 2, 3, 3, 3, 4, 8, 9, 16, 17, 32, 64, 128])


def _call(name: str, *arguments: st.Recipe[Any]) -> st.Recipe[Call]:
    return st.builds(Call, st.just(name), st.tuples(*arguments), WHO)


MAKING = st.one_of(
    _call("mkdir", PATHS, PERMISSIONS),
    _call("mkdir", PLAIN, PERMISSIONS),
    _call("mknod", PATHS, NODE_TYPES, PERMISSIONS, RDEVS),
    _call("symlink", TARGETS, PATHS),
    _call("link", PATHS, PATHS, st.booleans()),
    _call("open", SLOTS, PATHS, OPEN_FLAGS, PERMISSIONS),
    _call("open", SLOTS, st.one_of(PATHS, st.just(".")), TMPFILE_FLAGS, PERMISSIONS),
    _call("link_file", SLOTS, PATHS),
    _call("link_opened", SLOTS, PATHS),
    _call("open", SLOTS, PLAIN, _MADE, PERMISSIONS),
)
REMOVING = st.one_of(
    _call("unlink", PATHS),
    _call("rmdir", PATHS),
    _call("rename", PATHS, PATHS, st.sampled_from([0, 0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 8])),
)
MOVING = st.one_of(*[REMOVING] * 7, _call("chdir", PATHS))
LOOKING = st.one_of(
    _call("stat", PATHS, st.booleans()),
    _call("readlink", PATHS),
    _call("statx", PATHS, STATX_MASKS, st.booleans()),
    _call("listdir", PATHS),
    _call("access", PATHS, st.integers(0, 7)),
)
CHANGING = st.one_of(
    _call("chmod", PATHS, PERMISSIONS),
    _call("chown", PATHS, IDS, IDS, st.booleans()),
    _call("truncate", PATHS, SIZES),
    _call("utime", PATHS, TIMES, TIMES, st.booleans()),
    _call("setxattr", PATHS, XATTRS, VALUES, st.sampled_from([0, 0, 1, 2, 8]), st.booleans()),
    _call("setxattr", PLAIN, XATTRS, VALUES, st.just(0), st.booleans()),
    _call("getxattr", PATHS, XATTRS, st.booleans()),
    _call("removexattr", PATHS, XATTRS, st.booleans()),
    _call("listxattr", PATHS, st.booleans()),
)
ON_OPEN_FILES = st.one_of(
    _call("write", SLOTS, DATA),
    _call("read", SLOTS, st.sampled_from([0, 5, 10000])),
    _call("pwrite", SLOTS, DATA, OFFSETS),
    _call("pread", SLOTS, st.sampled_from([5, 9000]), OFFSETS),
    _call("seek", SLOTS, OFFSETS, WHENCES),
    _call("ftruncate", SLOTS, SIZES),
    _call("fstat", SLOTS),
    _call("fchmod", SLOTS, PERMISSIONS),
    _call("fchown", SLOTS, IDS, IDS),
    _call("futime", SLOTS, TIMES, TIMES),
    _call("fsetxattr", SLOTS, XATTRS, VALUES, st.sampled_from([0, 0, 1, 2, 8])),
    _call("fgetxattr", SLOTS, XATTRS),
    _call("fremovexattr", SLOTS, XATTRS),
    _call("flistxattr", SLOTS),
    _call("fallocate", SLOTS, FALLOCATE, OFFSETS, st.sampled_from([0, 1, 4096, 10000])),
    _call("close", SLOTS),
    _call("openat", SLOTS, SLOTS, PATHS, OPEN_FLAGS, PERMISSIONS),
    _call("reopen", SLOTS, SLOTS, OPEN_FLAGS.map(lambda flags: flags & ~_BY_NAME)),
    _call("statat", SLOTS, st.one_of(PATHS, st.just("")), st.booleans()),
    _call("readlinkat", SLOTS, st.one_of(PATHS, st.just(""), st.just(""))),
    _call("fchdir", SLOTS),
    _call("fstatfs", SLOTS),
    _call("fdlist", SLOTS),
    _call("fstatx", SLOTS, STATX_MASKS),
    _call("copy", SLOTS, _COPY_OFFSETS, SLOTS, _COPY_OFFSETS, st.sampled_from([0, 1, 4096, 10000])),
)
_ROOM = st.sampled_from([0o777, 0o777, 0o1777, 0o2777, 0o755, 0o700])
FURNISHING = st.lists(
    st.one_of(
        _call("mkdir", st.sampled_from(["a", "b", "a/b", "c"]), _ROOM),
        _call("open", SLOTS, PLAIN, _MADE, PERMISSIONS),
        _call("open", SLOTS, PLAIN, _MADE, PERMISSIONS),
        _call("symlink", TARGETS, PLAIN),
    ),
    min_size=6,
    max_size=16,
)
"""So that most calls find something."""


def is_basic(call: Call) -> bool:
    """Whether a call does without what tmpfs alone offers so far: files without names, exchanges, and whiteouts left behind."""
    if call.name in {"open", "openat"}:
        flags = call.arguments[2 if call.name == "open" else 3]
        return not (isinstance(flags, int) and flags & TMPFILE_BIT)
    return call.name not in {"link_file", "link_opened"} and not (
        call.name == "rename" and call.arguments[2] not in {0, 1, 8}
    )


SEVERAL = st.builds(
    list.__add__,
    FURNISHING,
    st.lists(st.one_of(MAKING, MOVING, LOOKING, CHANGING, CHANGING, ON_OPEN_FILES), min_size=10, max_size=60),
)
CONTENTS = st.lists(ON_OPEN_FILES, min_size=10, max_size=40)


def _holds_nothing(call: Call) -> bool:
    """Whether a call keeps nothing open that is no regular file: what such files are counted for when they have no name is not
    the same.
    """
    if call.name in {"open", "openat", "reopen"}:
        path, flags = call.arguments[-3], call.arguments[-2 if call.name != "reopen" else -1]
        if not isinstance(flags, int) or (flags & TMPFILE_BIT and path != "."):
            # A file without a name holds the directory that it was made in.
            return False
        return not flags & os.O_PATH and bool(flags & os.O_ACCMODE)
    if call.name == "rename":
        return call.arguments[2] in {1, 2, 3, 5}
    # A removed directory stays while a file is open that was in it.
    return call.name not in {"chdir", "rmdir"} and not (call.name == "mknod" and call.arguments[1] == stat.S_IFIFO)


_FILLING = _call("write", SLOTS, st.sampled_from([b"y" * 4096, b"z" * 9000])) | _call(
    "fallocate", SLOTS, st.sampled_from([0, 1]), OFFSETS, st.sampled_from([4096, 20000])
)
LIMITED = st.lists(
    st.one_of(MAKING, MAKING, REMOVING, CHANGING, ON_OPEN_FILES, _FILLING, _call("statfs", st.just("/"))).filter(
        _holds_nothing
    ),
    min_size=20,
    max_size=80,
)
"""Programs that make more than a small file system holds."""
LIMITS = "size=48k,nr_inodes=12"

EXISTING = st.sampled_from(["a", "b", "c", "a/b"])
MOUNT_PATHS = st.one_of(EXISTING, EXISTING, PLAIN, st.sampled_from(["a/..", "b/..", "c/..", "/", ".", "a/b/..", "c/d"]))
MOUNT_FLAGS = st.sampled_from([0, 0, 1, 4, 8, 256])
"""MS_RDONLY, MS_NODEV, MS_NOEXEC, MS_NOSYMFOLLOW."""

ON_MOUNTS = st.one_of(
    st.builds(Call, st.just("mount"), st.tuples(MOUNT_PATHS, MOUNT_FLAGS)),
    st.builds(Call, st.just("bind"), st.tuples(MOUNT_PATHS, MOUNT_PATHS, st.booleans())),
    st.builds(Call, st.just("umount"), st.tuples(MOUNT_PATHS, st.sampled_from([0, 0, 2, 8, 16]))),
)
MOUNTING = st.lists(
    st.one_of(MAKING, ON_MOUNTS, ON_MOUNTS, REMOVING, LOOKING, _call("close", SLOTS)), min_size=10, max_size=40
)
"""Programs that mount, too; they start below /a, /b and /c."""
