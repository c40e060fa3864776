"""Numbers and lists as the kernel reads them from a file (lib/kstrtox.c, lib/cmdline.c, lib/bitmap-str.c)."""

from __future__ import annotations

import errno
import re
from typing import Final

from vfs.errors import error

_NUMBER: Final = re.compile(r"(?:0[xX]([0-9a-fA-F]+)|0([0-7]*)|([1-9][0-9]*))\Z")
_LEADING: Final = re.compile(r"(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))?")
_SUFFIXES: Final = "kmgtpe"
PAGE: Final = 4096
UNLIMITED: Final = 0x7FFF_FFFF_FFFF_F000
"""No limit to memory (PAGE_COUNTER_MAX), in bytes."""
SPACE: Final = " \t\n\v\f\r\xa0"


def _digits(text: str) -> int:
    found = _NUMBER.match(text)
    if found is None:
        raise error(errno.EINVAL)
    hexadecimal, octal, decimal = found.groups()
    if hexadecimal is not None:
        return int(hexadecimal, 16)
    return int(decimal) if decimal is not None else int(octal or "0", 8)


def unsigned(text: str, bits: int = 64) -> int:
    """kstrtoull() with base 0: one newline may follow, nothing else. Errors: EINVAL, ERANGE."""
    value = _digits(text.removesuffix("\n").removeprefix("+"))
    if value >> bits:
        raise error(errno.ERANGE)
    return value


def signed(text: str, bits: int = 64) -> int:
    """kstrtoll() with base 0. Errors: EINVAL, ERANGE."""
    text = text.removesuffix("\n")
    value = -_digits(text[1:]) if text.startswith("-") else _digits(text.removeprefix("+"))
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise error(errno.ERANGE)
    return value


def memory_size(text: str, unlimited: str) -> int:
    """page_counter_memparse(): bytes with a suffix, in whole pages; a word, "-1" or "max", for no limit. Errors: EINVAL."""
    text = text.strip(SPACE)
    if text == unlimited:
        return UNLIMITED
    found = _LEADING.match(text)
    assert found is not None
    value = _digits(found.group()) if found.group() else 0
    rest = text[found.end() :]
    if rest and rest[0].lower() in _SUFFIXES:
        value <<= 10 * (_SUFFIXES.index(rest[0].lower()) + 1)
        rest = rest[1:]
    if rest:
        raise error(errno.EINVAL)
    return min(value % (1 << 64) // PAGE * PAGE, UNLIMITED)


def number_set(text: str, count: int) -> frozenset[int]:
    """bitmap_parselist(): `0-3,7`, `0-7:1/2` (of every two, the first), below `count`. Errors: EINVAL; ERANGE."""
    numbers: set[int] = set()
    for region in re.split(r"[,\s]+", text.strip()):
        if not region:
            continue
        found = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+)/(\d+))?)?", region, re.ASCII)
        if found is None:
            raise error(errno.EINVAL)
        first, last = int(found[1]), int(found[2] or found[1])
        used, group = int(found[3] or 1), int(found[4] or 1)
        if first > last or not group > 0 or used > group:
            raise error(errno.EINVAL)
        if last >= count:
            raise error(errno.ERANGE)
        numbers.update(number for number in range(first, last + 1) if (number - first) % group < used)
    return frozenset(numbers)


def list_of(numbers: frozenset[int]) -> str:
    """The same in writing: `0-3,7`."""
    parts: list[str] = []
    ordered = sorted(numbers)
    start = 0
    for index, number in enumerate(ordered):
        if index + 1 == len(ordered) or ordered[index + 1] != number + 1:
            first = ordered[start]
            parts.append(str(first) if first == number else f"{first}-{number}")
            start = index + 1
    return ",".join(parts)
