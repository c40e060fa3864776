"""The options of a fuse mount (Documentation/filesystems/fuse.rst, fs/fuse/inode.c)."""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from vfs.errors import error
from vfs.fuse.channel import Channel
from vfs.options import mount_data

_KINDS: Final = frozenset(
    {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK}
)
_NOBODY: Final = (1 << 32) - 1
UNLIMITED: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class FuseOptions:
    """For `MountOptions.internal`: what has no text form. `connection` is an open descriptor, which the mount duplicates, or a
    channel, which it takes over; it stands in for `fd=`. After `timeout` seconds a request is interrupted, and soon after
    that the connection is ended (see `vfs.fs.fuse`). `max_pages` is how much a READ or WRITE may carry, in pages.
    """

    connection: int | Channel | None = None
    timeout: float = 30.0
    max_pages: int = 32


@dataclass(slots=True)
class ParsedOptions:
    """The values of a data string; None where it does not say."""

    fd: int | None = None
    rootmode: int | None = None
    user_id: int | None = None
    group_id: int | None = None
    default_permissions: bool = False
    allow_other: bool = False
    max_read: int = UNLIMITED
    subtype: str | None = None


def parse(data: str, *, connected: bool) -> ParsedOptions:
    """Read a data string; of repeated options the last wins. `connected` says that no `fd` is needed.

    Errors: EINVAL for an unknown option, a value that is none, or a required one that is missing.
    """
    options = ParsedOptions()
    for key, value in mount_data(data):
        try:
            _apply(options, key, value)
        except ValueError:
            raise error(errno.EINVAL, key if value is None else f"{key}={value}") from None
    required = (options.rootmode, options.user_id, options.group_id)
    if None in required or (options.fd is None and not connected):
        raise error(errno.EINVAL, data)
    return options


def _apply(options: ParsedOptions, key: str, value: str | None) -> None:
    if key in _FLAGS:
        if value is not None:
            raise ValueError(key)
        setattr(options, key, True)
    elif key in _VALUES:
        if value is None:
            raise ValueError(key)
        setattr(options, key, _VALUES[key](value))
    elif key == "subtype" and options.subtype is None and value:
        options.subtype = value
    else:
        # blksize too: it belongs to fuseblk.
        raise ValueError(key)


def number(text: str, base: int) -> int:
    """kstrtouint() of Linux: base 0 takes 0x and a leading 0 for what they are in C; one plus sign and a final newline pass.

    Errors: ValueError.
    """
    digits = text.removesuffix("\n").removeprefix("+")
    lowered = digits.lower()
    if base == 0:
        base = 16 if lowered.startswith("0x") else 8 if digits.startswith("0") else 10
    if base == 16:
        digits = digits[2:] if lowered.startswith("0x") else digits
    if not digits or digits.lower().strip("0123456789abcdef"[:base]):
        raise ValueError(text)
    value = int(digits, base)
    if value >= 1 << 32:
        raise ValueError(text)
    return value


def _plain(text: str) -> int:
    return number(text, 0)


def _identity(text: str) -> int:
    value = number(text, 0)
    if value == _NOBODY:
        raise ValueError(text)
    return value


def _rootmode(text: str) -> int:
    mode = number(text, 8)
    # The mode is sixteen bits wide in Linux, and the kind is asked for before it is cut.
    if stat.S_IFMT(mode) not in _KINDS:
        raise ValueError(text)
    return mode & 0xFFFF


_FLAGS: Final = frozenset({"default_permissions", "allow_other"})
_VALUES: Final[dict[str, Callable[[str], int]]] = {
    "fd": _plain,
    "rootmode": _rootmode,
    "user_id": _identity,
    "group_id": _identity,
    "max_read": _plain,
}
