"""Documents of facts, read as what anybody may have written: values of other types are noted, never believed."""

from __future__ import annotations

from devproxy.host.root import fact_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, TypeVar

    from devproxy.host.root import HostRoot

    T = TypeVar("T")

# More of one kind no machine has.
_MOST: Final = 100_000


def each_object(
    root: HostRoot, name: str, document: dict[str, object], key: str, make: Callable[[dict[str, object]], T]
) -> tuple[T, ...]:
    """What `make` makes of each object in the list at `key` of the fact `name`. What is no object, and what `make` refuses
    with a TypeError, is noted.
    """
    value = document.get(key, [])
    if not isinstance(value, list):
        root.note(fact_path(name), f"{key} is {short(value)}, expected a list")
        return ()
    made = []
    for each in value[:_MOST]:
        try:
            made.append(make(_object(each)))
        except TypeError as error:
            root.note(fact_path(name), f"{key} has {error}")
    return tuple(made)


def items(value: object) -> list[object]:
    """A list. Errors: TypeError for anything else, and for one that is longer than any machine's."""
    if not isinstance(value, list) or len(value) > _MOST:
        raise TypeError(f"{short(value)}, expected a list")
    return value


def text(value: object) -> str:
    """A text. Errors: TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"{short(value)}, expected a text")
    return value


def number(value: object) -> int:
    """A number that is not negative, and no bool. Errors: TypeError for anything else."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 64:
        raise TypeError(f"{short(value)}, expected a number")
    return value


def amount(value: object) -> float:
    """A number that may have a fraction and is not negative; NaN and infinities are none. Errors: TypeError for anything else."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1 << 64:
        raise TypeError(f"{short(value)}, expected a number")
    return float(value)


def truth(value: object) -> bool:
    """True or false. Errors: TypeError for anything else."""
    if not isinstance(value, bool):
        raise TypeError(f"{short(value)}, expected true or false")
    return value


def texts(value: object) -> tuple[str, ...]:
    """A list of texts. Errors: TypeError for anything else."""
    return tuple(text(each) for each in items(value))


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"{short(value)}, expected an object")
    return value


def table(value: object) -> dict[str, object]:
    """An object, by its names. Errors: TypeError for anything else."""
    return _object(value)


def short(value: object) -> str:
    """A value in an error message."""
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."
