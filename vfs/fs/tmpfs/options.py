"""The options of a tmpfs mount (tmpfs(5), S54)."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import Final

from vfs.abi import PAGE_SIZE, S_IALLUGO
from vfs.errors import error
from vfs.options import mount_data

_UNITS: Final = {unit: 1024**power for power, unit in enumerate("kmgtpe", start=1)}
_INVALID_ID: Final = (1 << 32) - 1
_MAX_BYTES: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class TmpfsOptions:
    """What has no text form, for `MountOptions.internal`: the kind of file that the root is, S_IFDIR, S_IFREG or S_IFLNK,
    and the text of a root that is a link. An overlay over one file has such a root (S43).
    """

    root_type: int = stat.S_IFDIR
    root_target: str = ""


@dataclass(slots=True)
class ParsedOptions:
    """The values of a data string; None where it does not say. A limit of None is none."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    max_pages: int | None = None
    max_inodes: int | None = None


def parse(data: str) -> ParsedOptions:
    """Read a data string; of repeated options, and of `size` and `nr_blocks`, the last wins.

    Errors: EINVAL for an unknown option or a value that is none.
    """
    options = ParsedOptions()
    for key, value in mount_data(data):
        try:
            _apply(options, key, value)
        except ValueError:
            raise error(errno.EINVAL, key if value is None else f"{key}={value}") from None
    return options


def _apply(options: ParsedOptions, key: str, value: str | None) -> None:
    if value is None:
        # Nothing here is ever swapped: the one option without a value asks for what is so.
        if key != "noswap":
            raise ValueError(key)
    elif key == "mode":
        options.mode = _number(value, "01234567", 8) & S_IALLUGO
    elif key == "uid":
        options.uid = _identity(value)
    elif key == "gid":
        options.gid = _identity(value)
    elif key == "size":
        options.max_pages = -(-_size(value) // PAGE_SIZE)
    elif key == "nr_blocks":
        options.max_pages = _count(value)
    elif key == "nr_inodes":
        options.max_inodes = _count(value) or None
    else:
        raise ValueError(key)


def _number(text: str, digits: str, base: int) -> int:
    # int() alone would take signs, blanks, underscores and the digits of every script.
    if not text or text.strip(digits):
        raise ValueError(text)
    number = int(text, base)
    if number >= 1 << 32 and base == 8:
        raise ValueError(text)
    return number


def _identity(text: str) -> int:
    number = _number(text, "0123456789", 10)
    if number >= _INVALID_ID:
        raise ValueError(text)
    return number


def _count(text: str) -> int:
    """A number with an optional unit (memparse() of Linux, without its octal and hexadecimal)."""
    unit = _UNITS.get(text[-1:].lower())
    number = _number(text if unit is None else text[:-1], "0123456789", 10) * (unit or 1)
    if number > _MAX_BYTES:
        raise ValueError(text)
    return number


def _size(text: str) -> int:
    if not text.endswith("%"):
        return _count(text)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return _number(text[:-1], "0123456789", 10) * memory // 100
