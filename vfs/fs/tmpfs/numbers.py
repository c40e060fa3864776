"""Numbers as the kernel reads them in mount options (lib/cmdline.c, memparse; lib/kstrtox.c)."""

from __future__ import annotations

from typing import Final

_DIGITS: Final = "0123456789abcdef"
_UNITS: Final = {unit: 10 * power for power, unit in enumerate("kmgtpe", start=1)}
_MASK: Final = (1 << 64) - 1
_UNSIGNED: Final = 1 << 32


def memparse(text: str) -> tuple[int, str]:
    """The number that a text begins with, decimal, octal (010) or hexadecimal (0x10), with its unit if it has one, and what
    comes behind. It has 64 bits: what is larger wraps. Without digits it is 0.
    """
    base, start = _base_of(text)
    end = _end_of_digits(text, start, base)
    number = int(text[start:end], base) if end > start else 0
    shift = _UNITS.get(text[end : end + 1].lower(), 0)
    return (number << shift) & _MASK, text[end + 1 if shift else end :]


def unsigned(text: str, base: int = 0) -> int:
    """A whole text as a number of 32 bits; with base 0, octal and hexadecimal as well. A plus before it is taken.

    Errors: ValueError for anything else.
    """
    digits = text.removeprefix("+")
    base, start = (base, 0) if base else _base_of(digits)
    if start == len(digits) or _end_of_digits(digits, start, base) != len(digits):
        raise ValueError(text)
    number = int(digits[start:], base)
    if number >= _UNSIGNED:
        raise ValueError(text)
    return number


def _base_of(text: str) -> tuple[int, int]:
    """The base of a number, and where its digits begin."""
    if text[:2].lower() == "0x" and text[2:3] and text[2].lower() in _DIGITS:
        return 16, 2
    return (8, 0) if text.startswith("0") else (10, 0)


def _end_of_digits(text: str, start: int, base: int) -> int:
    # int() alone would take signs, blanks, underscores and the digits of every script.
    digits = _DIGITS[:base]
    return next((at for at in range(start, len(text)) if text[at].lower() not in digits), len(text))
