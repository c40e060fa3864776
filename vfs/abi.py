"""The numbers of the Linux ABI that `stat` and `os` do not carry, under the kernel's own names.

Sources: include/uapi/linux/{fs,limits,magic,stat,xattr,falloc,mount}.h, fs/mount.h, include/linux/namei.h.
"""

from __future__ import annotations

import os
from typing import Final

NAME_MAX: Final = 255
"""The longest file name, in bytes, without a terminating NUL (limits.h)."""

PATH_MAX: Final = 4096
"""The longest path given to a system call, in bytes, with the terminating NUL (limits.h)."""

SYMLINKS_MAX: Final = 40
"""Symbolic links followed in one resolution (MAXSYMLINKS, path_resolution(7))."""

MOUNT_MAX: Final = 10_000
"""Mounts in one mount namespace (S51 of the behaviour rows; Linux's fs.mount-max is larger)."""

PAGE_SIZE: Final = 4096
"""The unit of tmpfs accounting, whatever the page size of the machine: recordings compare across machines."""

MAX_FILE_SIZE: Final = (1 << 63) - 1
"""The largest file size and offset (MAX_LFS_FILESIZE)."""

MAY_EXEC: Final = 1
MAY_WRITE: Final = 2
MAY_READ: Final = 4

S_IALLUGO: Final = 0o7777
"""All permission bits, with set-user-id, set-group-id and sticky."""

O_ACCMODE: Final = os.O_ACCMODE
O_TMPFILE_BIT: Final = os.O_TMPFILE & ~os.O_DIRECTORY
"""The bit of O_TMPFILE that is its own (__O_TMPFILE)."""

RENAME_NOREPLACE: Final = 1
RENAME_EXCHANGE: Final = 2
RENAME_WHITEOUT: Final = 4

STATX_BASIC_STATS: Final = 0x7FF
STATX_BTIME: Final = 0x800
STATX_MNT_ID: Final = 0x1000
STATX_MNT_ID_UNIQUE: Final = 0x4000
STATX_RESERVED: Final = 0x8000_0000
STATX_ATTR_MOUNT_ROOT: Final = 0x2000

XATTR_CREATE: Final = os.XATTR_CREATE
XATTR_REPLACE: Final = os.XATTR_REPLACE
XATTR_NAME_MAX: Final = 255
XATTR_SIZE_MAX: Final = 65_536

FALLOC_FL_KEEP_SIZE: Final = 1
FALLOC_FL_PUNCH_HOLE: Final = 2
FALLOC_FL_COLLAPSE_RANGE: Final = 8
FALLOC_FL_ZERO_RANGE: Final = 16
FALLOC_FL_INSERT_RANGE: Final = 32
FALLOC_FL_UNSHARE_RANGE: Final = 64
FALLOC_FL_WRITE_ZEROES: Final = 128

MNT_FORCE: Final = 1
MNT_DETACH: Final = 2
MNT_EXPIRE: Final = 4
UMOUNT_NOFOLLOW: Final = 8

TMPFS_MAGIC: Final = 0x0102_1994

IN_ACCESS: Final = 0x1
IN_MODIFY: Final = 0x2
IN_ATTRIB: Final = 0x4
IN_CLOSE_WRITE: Final = 0x8
IN_CLOSE_NOWRITE: Final = 0x10
IN_OPEN: Final = 0x20
IN_MOVED_FROM: Final = 0x40
IN_MOVED_TO: Final = 0x80
IN_CREATE: Final = 0x100
IN_DELETE: Final = 0x200
IN_DELETE_SELF: Final = 0x400
IN_MOVE_SELF: Final = 0x800
IN_ALL_EVENTS: Final = 0xFFF
IN_UNMOUNT: Final = 0x2000
IN_Q_OVERFLOW: Final = 0x4000
IN_IGNORED: Final = 0x8000
IN_ONLYDIR: Final = 0x0100_0000
IN_DONT_FOLLOW: Final = 0x0200_0000
IN_EXCL_UNLINK: Final = 0x0400_0000
IN_MASK_CREATE: Final = 0x1000_0000
IN_MASK_ADD: Final = 0x2000_0000
IN_ISDIR: Final = 0x4000_0000
IN_ONESHOT: Final = 0x8000_0000
