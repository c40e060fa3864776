"""What a call is asked to do: one frozen record a call, so that arguments have names and calls stay short."""

from __future__ import annotations

import enum
import errno
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vfs.errors import error

if TYPE_CHECKING:
    from vfs.credentials import Credentials


class MountFlags(enum.IntFlag):
    """The flags of one mount (mount(2)); no flag means rw, suid, dev, exec and access times kept as relatime."""

    RDONLY = enum.auto()
    NOSUID = enum.auto()
    NODEV = enum.auto()
    NOEXEC = enum.auto()
    NOATIME = enum.auto()
    NODIRATIME = enum.auto()
    RELATIME = enum.auto()
    STRICTATIME = enum.auto()
    NOSYMFOLLOW = enum.auto()


NO_MOUNT_FLAGS = MountFlags(0)
ATIME_FLAGS = MountFlags.NOATIME | MountFlags.RELATIME | MountFlags.STRICTATIME
"""One field of three values: setting one clears the others (mount_setattr(2))."""
LOCKABLE_FLAGS = MountFlags.RDONLY | MountFlags.NOSUID | MountFlags.NODEV | MountFlags.NOEXEC
"""What keeps something out: an owner with less privileges may not clear it (mount_namespaces(7))."""


class Propagation(enum.Enum):
    """How mounts and umounts travel (mount_namespaces(7))."""

    SHARED = enum.auto()
    SLAVE = enum.auto()
    PRIVATE = enum.auto()
    UNBINDABLE = enum.auto()


@dataclass(frozen=True, slots=True)
class MkdirOptions:
    """For mkdir(2): `mode` holds permission bits; the caller has applied the umask."""

    mode: int = 0o777


@dataclass(frozen=True, slots=True)
class MknodOptions:
    """For mknod(2) and for creating a regular file: `mode` holds type and permission bits, `rdev` as `os.makedev` gives it."""

    mode: int
    rdev: int = 0


@dataclass(frozen=True, slots=True)
class OpenOptions:
    """For open(2): the O_* flags, and the permission bits of a file that O_CREAT makes (umask applied)."""

    flags: int = 0
    mode: int = 0o666


@dataclass(frozen=True, slots=True)
class RenameOptions:
    """For renameat2(2): RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT. `whiteout_creds` are whose a whiteout is, the
    superuser's if None; the VFS fills them in.
    """

    flags: int = 0
    whiteout_creds: Credentials | None = None


@dataclass(frozen=True, slots=True)
class SetStat:
    """What chmod, chown, truncate and utimensat change; None leaves a field alone.

    `mode` holds permission bits only. `chown` marks a chown(2), also one that names neither owner nor group: it drops set-id
    bits all the same. `touch` sets both times to now, which a user with write access may do; setting one of them alone, to a
    chosen time or to now (`atime_now`, `mtime_now`), is the owner's (utimensat(2)). A new `size` sets mtime, one that the file
    has already only with `mtime_now`.
    """

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None
    touch: bool = False
    chown: bool = False
    atime_now: bool = False
    mtime_now: bool = False


@dataclass(frozen=True, slots=True)
class MountOptions:
    """For a mount: flags of the mount, `data` as mount(8) takes it after -o (what is left for the file system type), and
    `internal`, a value of the type's own that has no text form. A `user_mount` is made on behalf of a process inside: types
    registered with allow_user_mount=False refuse it. `superblock` are the flags of the file system that mountinfo shows: sync,
    dirsync, mand and lazytime, none of which changes what memory keeps.
    """

    flags: MountFlags = NO_MOUNT_FLAGS
    data: str = ""
    internal: object | None = None
    user_mount: bool = False
    superblock: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BindOptions:
    """For a bind mount: `recursive` clones the mounts below too (MS_REC); `flags` replace the source's when not None."""

    recursive: bool = False
    flags: MountFlags | None = None


@dataclass(frozen=True, slots=True)
class UmountOptions:
    """For umount2(2): MNT_FORCE, MNT_DETACH, MNT_EXPIRE, UMOUNT_NOFOLLOW."""

    flags: int = 0


def mount_data(data: str) -> Iterator[tuple[str, str | None]]:
    """The pairs of a mount's data string, in order: "size=1m,noswap" gives ("size", "1m"), ("noswap", None).

    Empty items are skipped, as the kernel does (fs/fs_context.c, vfs_parse_monolithic_sep).

    Errors: EINVAL for an item without a key ("=x").
    """
    for item in data.split(","):
        if not item:
            continue
        key, equals, value = item.partition("=")
        if not key:
            raise error(errno.EINVAL, item)
        yield key, value if equals else None
