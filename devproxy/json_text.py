"""JSON to values and back, as the standard library's json does it, without loading that.

json's scanner and encoder are written in C (`_json`); what lies around them imports re and costs more than building a root.
So the C half is used alone. Whatever it refuses is read again by json itself, whose messages say where and why; where
`_json` is missing or has another shape, json does everything.
"""

from __future__ import annotations

from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Pairs = list[tuple[str, Any]]

_WHITESPACE = " \t\n\r"
# The same on every interpreter. Some have a limit of thousands here, where functions that walk through a value have one of a thousand.
_DEEPEST = 500


class _Rules(Record):
    """What the scanner asks of its context, by these names (json.scanner)."""

    object_pairs_hook: Callable[[Pairs], object] | None
    parse_constant: Callable[[str], object]
    strict: bool = True
    object_hook: None = None
    parse_float: type[float] = float
    parse_int: type[int] = int


def loads(
    text: str,
    *,
    pairs: Callable[[Pairs], object] | None = None,
    constant: Callable[[str], object] = float,
) -> Any:  # noqa: ANN401 (JSON may be anything)
    """The value of a JSON document. `pairs` makes each object from its members, `constant` the value of NaN and infinities.

    Errors: those of json.loads (json.JSONDecodeError is a ValueError), RecursionError for what is nested too deeply.
    """
    value = _scanned(text, pairs, constant)
    _check_depth(value)
    return value


def _scanned(text: str, pairs: Callable[[Pairs], object] | None, constant: Callable[[str], object]) -> Any:  # noqa: ANN401 (JSON may be anything)
    try:
        from _json import make_scanner

        trimmed = text.strip(_WHITESPACE)
        scan: Any = make_scanner
        value, end = scan(_Rules(pairs, constant))(trimmed, 0)
        if end == len(trimmed):
            return value
    except (ImportError, AttributeError, TypeError, ValueError, StopIteration, SystemError):
        pass  # SystemError: the scanner's own error is json.decoder's, which it does not load
    import json

    return json.loads(text, object_pairs_hook=pairs, parse_constant=constant)


def _check_depth(value: object) -> None:
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        level = [each for outer in level for each in _inside(outer) if type(each) is dict or type(each) is list]
        if not level:
            return
    raise RecursionError(f"nested more than {_DEEPEST} deep")


def _inside(value: Any) -> Any:  # noqa: ANN401 (the same)
    if type(value) is dict:
        return value.values()
    return value if type(value) is list else ()


def dumps(value: object) -> str:
    """A value as JSON in one line of ASCII. Errors: those of json.dumps."""
    try:
        from _json import encode_basestring_ascii, make_encoder

        sort_keys, skip_keys, allow_nan = False, False, True
        encode = make_encoder({}, _refuse, encode_basestring_ascii, None, ": ", ", ", sort_keys, skip_keys, allow_nan)
        return "".join(encode(value, 0))
    except (ImportError, AttributeError, TypeError):
        import json

        return json.dumps(value)


def _refuse(value: object) -> None:
    raise TypeError(f"{type(value).__name__} is not JSON")
