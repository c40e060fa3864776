"""Sizes and times as people write them: `80G`, `90s`, `30m`."""

from __future__ import annotations

from devproxy.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_SIZES: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_TIMES: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DIGITS: Final = 12
_MOMENT: Final = "for example 2h (ago), 2026-01-31T12:00, or @1769860800"


def parse_size(text: str) -> int:
    """Bytes: a number with k, M, G or T behind it (powers of 1024), and perhaps `B` or `iB`.

    Errors: InputError.
    """
    words = text.lower().removesuffix("ib") if text.lower().endswith("ib") else text.lower().removesuffix("b")
    return _number(words, _SIZES, f"{text!r} is no size", "for example 80G or 40960M")


def size_text(size: int) -> str:
    """A size in the largest unit that says it exactly: `80 GiB`, `1000 bytes`."""
    for unit in ("T", "G", "M", "K"):
        if size and size % _SIZES[unit.lower()] == 0:
            return f"{size // _SIZES[unit.lower()]} {unit}iB"
    return f"{size} bytes"


def parse_duration(text: str) -> float | None:
    """Seconds: a number with s, m, h or d behind it; None for `forever`.

    Errors: InputError.
    """
    if text == "forever":
        return None
    return float(_number(text.lower(), _TIMES, f"{text!r} is no time", "for example 90s, 30m, 2h, or 'forever'"))


def parse_moment(text: str, now: float) -> float:
    """Seconds since the epoch: a time ago (`2h`), a date and time (ISO 8601, of this place unless it says otherwise), or `@SECONDS`.

    Errors: InputError.
    """
    if text.startswith("@"):
        return float(_number(text[1:], {"": 1}, f"{text!r} is no moment", _MOMENT))
    if "-" in text or ":" in text:
        from datetime import datetime

        try:
            return datetime.fromisoformat(text).timestamp()
        except ValueError:
            raise InputError(f"{text!r} is no moment", hint=_MOMENT) from None
    return now - _number(text.lower(), _TIMES, f"{text!r} is no moment", _MOMENT)


def _number(text: str, units: dict[str, int], problem: str, hint: str) -> int:
    digits = text.rstrip("".join(units))
    unit = text[len(digits) :]
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS) or unit not in units:
        raise InputError(problem, hint=hint)
    return int(digits) * units[unit]
