"""The numbers of the FUSE protocol under the kernel's own names (include/uapi/linux/fuse.h)."""

from __future__ import annotations

import enum
from typing import Final

MAJOR: Final = 7
MINOR: Final = 38
OLDEST_MINOR: Final = 12
"""Before, structures had other sizes: libfuse before 2.8 (2009)."""
OLDEST_FLOCK_MINOR: Final = 17
"""Before, who kept POSIX locks kept BSD locks too."""

ROOT_ID: Final = 1
SUPER_MAGIC: Final = 0x6573_5546
PAGE_SIZE: Final = 4096
DEFAULT_MAX_PAGES: Final = 32
"""So many pages a request where nothing else was agreed on (FUSE_DEFAULT_MAX_PAGES_PER_REQ)."""
MIN_READ_BUFFER: Final = 8192
MAX_ERROR: Final = 512
"""Errors of replies are below (fs/fuse/dev.c)."""
INTERRUPT_BIT: Final = 1
"""Requests have even numbers; that of an INTERRUPT is the request's with this bit (FUSE_INT_REQ_BIT)."""


class Opcode(enum.IntEnum):
    """What is asked for."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    GETLK = 31
    SETLK = 32
    SETLKW = 33
    ACCESS = 34
    CREATE = 35
    INTERRUPT = 36
    DESTROY = 38
    IOCTL = 39
    NOTIFY_REPLY = 41
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    LSEEK = 46
    COPY_FILE_RANGE = 47
    TMPFILE = 51


WITHOUT_REPLY: Final = frozenset({Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT, Opcode.NOTIFY_REPLY})
COUNTED: Final = frozenset(
    {
        *(Opcode.LOOKUP, Opcode.MKNOD, Opcode.MKDIR, Opcode.SYMLINK, Opcode.LINK),
        *(Opcode.CREATE, Opcode.TMPFILE),
    }
)
"""Whose reply begins with an entry, which counts as one look-up of its node."""


class Notify(enum.IntEnum):
    """What a server tells without having been asked."""

    POLL = 1
    INVAL_INODE = 2
    INVAL_ENTRY = 3
    STORE = 4
    RETRIEVE = 5
    DELETE = 6


class InitFlags(enum.IntFlag):
    """What client and server can agree on."""

    POSIX_LOCKS = 1 << 1
    ATOMIC_O_TRUNC = 1 << 3
    BIG_WRITES = 1 << 5
    DONT_MASK = 1 << 6
    FLOCK_LOCKS = 1 << 10
    DO_READDIRPLUS = 1 << 13
    READDIRPLUS_AUTO = 1 << 14
    NO_OPEN_SUPPORT = 1 << 17
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23
    NO_OPENDIR_SUPPORT = 1 << 24


FATTR_MODE: Final = 1 << 0
FATTR_UID: Final = 1 << 1
FATTR_GID: Final = 1 << 2
FATTR_SIZE: Final = 1 << 3
FATTR_ATIME: Final = 1 << 4
FATTR_MTIME: Final = 1 << 5
FATTR_FH: Final = 1 << 6
FATTR_ATIME_NOW: Final = 1 << 7
FATTR_MTIME_NOW: Final = 1 << 8

FOPEN_DIRECT_IO: Final = 1 << 0
FOPEN_KEEP_CACHE: Final = 1 << 1
FOPEN_NONSEEKABLE: Final = 1 << 2
FOPEN_STREAM: Final = 1 << 4
FOPEN_NOFLUSH: Final = 1 << 5

LK_FLOCK: Final = 1 << 0
RELEASE_FLOCK_UNLOCK: Final = 1 << 1

GETATTR_FH: Final = 1 << 0
FSYNC_FDATASYNC: Final = 1 << 0
IOCTL_DIR: Final = 1 << 4
IOCTL_RETRY: Final = 1 << 2
