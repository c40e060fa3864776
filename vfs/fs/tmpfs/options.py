"""The options of a tmpfs mount (tmpfs(5), S54)."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import Final

from vfs.abi import PAGE_SIZE, S_IALLUGO
from vfs.errors import error
from vfs.fs.tmpfs import policy
from vfs.fs.tmpfs.numbers import memparse, unsigned
from vfs.options import mount_data

_INVALID_ID: Final = (1 << 32) - 1
_MASK: Final = (1 << 64) - 1
_MAX_BLOCKS: Final = (1 << 63) - 1
_MAX_INODES: Final = _MASK >> 10
_FLAGS: Final = frozenset(("noswap", "inode32", "inode64"))
_HUGE: Final = frozenset(("never", "always", "within_size", "advise"))


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
    """Read a data string; of repeated options, and of `size` and `nr_blocks`, the last wins. Numbers may be octal and
    hexadecimal. What says how pages are kept, `huge`, `mpol`, `noswap`, and how wide inode numbers are has no effect.

    Errors: EINVAL for an unknown option or a value that is none.
    """
    options = ParsedOptions()
    for key, value in _pairs(data):
        try:
            _apply(options, key, value)
        except ValueError:
            raise error(errno.EINVAL, key if value is None else f"{key}={value}") from None
    return options


def _pairs(data: str) -> list[tuple[str, str | None]]:
    """The options of a data string. Nodes of a policy have commas between them: no option begins with a digit (mm/shmem.c,
    shmem_next_opt).
    """
    pairs: list[tuple[str, str | None]] = []
    for key, value in mount_data(data):
        if pairs and "0" <= key[0] <= "9":
            last, before = pairs.pop()
            item = key if value is None else f"{key}={value}"
            pairs.append((f"{last},{item}", None) if before is None else (last, f"{before},{item}"))
        else:
            pairs.append((key, value))
    return pairs


def _apply(options: ParsedOptions, key: str, value: str | None) -> None:
    if value is None or key in ("huge", "mpol"):
        _check(key, value)
    elif key == "mode":
        options.mode = unsigned(value, 8) & S_IALLUGO
    elif key == "uid":
        options.uid = _identity(value)
    elif key == "gid":
        options.gid = _identity(value)
    elif key == "size":
        options.max_pages = _size(value) or None
    elif key == "nr_blocks":
        options.max_pages = _count(value, _MAX_BLOCKS) or None
    elif key == "nr_inodes":
        options.max_inodes = _count(value, _MAX_INODES) or None
    else:
        raise ValueError(key)


def _check(key: str, value: str | None) -> None:
    """An option without effect."""
    if key == "mpol" and value is not None:
        policy.check(value)
    elif value not in _HUGE if key == "huge" else key not in _FLAGS:
        raise ValueError(key)


def _identity(text: str) -> int:
    number = unsigned(text)
    if number == _INVALID_ID:
        raise ValueError(text)
    return number


def _count(text: str, most: int) -> int:
    number, rest = memparse(text)
    if not text or rest or number > most:
        raise ValueError(text)
    return number


def _size(text: str) -> int:
    """A size in bytes, or in percent of the machine's memory, as pages. It is rounded up, and wraps as Linux's does."""
    number, rest = memparse(text)
    if rest.startswith("%"):
        number, rest = (number * PAGE_SIZE * os.sysconf("SC_PHYS_PAGES") & _MASK) // 100, rest[1:]
    if not text or rest:
        raise ValueError(text)
    return (number + PAGE_SIZE - 1 & _MASK) // PAGE_SIZE
