"""What a marker asks for, understood: `@pytest.mark.accelerators(2, kind="gpu", mem="80G", wait="10m")`."""

from __future__ import annotations

import math
import os

from devproxy.errors import InputError
from devproxy.jobs.devices import Kind, Wanted
from devproxy.jobs.size import parse_duration, parse_size
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    import pytest

_MOST: Final = 99_999
_NAMES: Final = ("kind", "model", "mem", "numa", "wait")
_EXAMPLE: Final = "for example @pytest.mark.accelerators(2, kind='gpu', mem='80G', wait='10m')"
_TARGETS: Final = (None, "memory", "kernel")
_MODES: Final = (None, "docker", "spec", "none")
NO_WISH: Final = "as configured"


class Wish(Record):
    """What a test asks for. `wait` is in seconds, None for ever, `as configured` where the marker does not say it."""

    wanted: Wanted
    wait: float | str | None = NO_WISH


class BundleWish(Record):
    """The bundle of a marker: its path, and where and how its root is to be built, where that is said."""

    path: str
    target: str | None = None
    mode: str | None = None


def wish_of(item: pytest.Item) -> Wish:
    """The wish of a test's closest marker; of one without a marker, one accelerator.

    Errors: InputError for a marker that cannot be meant.
    """
    mark = item.get_closest_marker("accelerators")
    return Wish(Wanted(1)) if mark is None else parse_wish(mark)


def parse_wish(mark: pytest.Mark) -> Wish:
    """Errors: InputError, with what was found and what was expected."""
    unknown = sorted(mark.kwargs.keys() - set(_NAMES))
    if unknown:
        raise _wrong(f"{', '.join(unknown)} is none of its words", f"they are {', '.join(_NAMES)}")
    if len(mark.args) > 1:
        raise _wrong(f"{len(mark.args)} values without a name", "the number alone has none")
    number = mark.args[0] if mark.args else 1
    if not (_is_whole(number) and 0 < number <= _MOST):
        raise _wrong(f"the number is {number!r}", "expected a whole one, 1 or more")
    words = mark.kwargs
    wanted = Wanted(
        number,
        _kind(words.get("kind")),
        _model(words.get("model")),
        _memory(words.get("mem")),
        _numa(words.get("numa")),
    )
    return Wish(wanted, _wait(words["wait"]) if words.get("wait") is not None else NO_WISH)


def bundle_of(item: pytest.Item) -> BundleWish | None:
    """The bundle that a test's closest marker names, with its path made absolute, or None.

    Errors: InputError for a marker that cannot be meant.
    """
    mark = item.get_closest_marker("devproxy_bundle")
    if mark is None:
        return None
    try:
        wish = BundleWish(*mark.args, **mark.kwargs)
        path = os.path.join(item.path.parent, os.fspath(wish.path))
    except TypeError as error:
        raise InputError(
            f"devproxy_bundle: {error}", hint="for example @pytest.mark.devproxy_bundle('bundle')"
        ) from None
    if wish.target not in _TARGETS or wish.mode not in _MODES:
        told = f"target={wish.target!r}, mode={wish.mode!r}"
        raise InputError(
            f"devproxy_bundle: {told}, expected target 'memory' or 'kernel', mode 'docker', 'spec' or 'none'"
        )
    return wish._replace(path=path)


def mistakes(items: Iterable[pytest.Item]) -> list[str]:
    """What is wrong with the markers of tests, a text for each, which begins with the test's file and line."""
    told: dict[str, None] = {}
    for item in items:
        try:
            wish_of(item)
            bundle_of(item)
        except InputError as error:
            path, line, _ = item.reportinfo()
            told[f"{os.path.relpath(path, item.config.rootpath)}:{(line or 0) + 1}: {error}"] = None
    return list(told)


def _wrong(found: str, expected: str) -> InputError:
    return InputError(f"@pytest.mark.accelerators: {found}, {expected}", hint=_EXAMPLE)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _kind(value: object) -> Kind | None:
    if value is None:
        return None
    if value in ("gpu", "tpu"):
        return Kind(value)
    raise _wrong(f"kind is {value!r}", "expected 'gpu' or 'tpu'")


def _model(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    raise _wrong(f"model is {value!r}", "expected words of a model's name")


def _memory(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            return parse_size(value)
        except InputError as error:
            raise _wrong(f"mem: {error.message}", error.hint) from None
    if isinstance(value, int) and _is_whole(value) and value > 0:
        return value
    raise _wrong(f"mem is {value!r}", "expected a size, '80G', or bytes")


def _numa(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and _is_whole(value) and value >= 0:
        return value
    raise _wrong(f"numa is {value!r}", "expected the number of a NUMA node")


def _wait(value: object) -> float | None:
    if isinstance(value, str):
        try:
            return parse_duration(value)
        except InputError as error:
            raise _wrong(f"wait: {error.message}", error.hint) from None
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
        return float(value)
    raise _wrong(f"wait is {value!r}", "expected a time, '90s', '30m', 'forever', or seconds")
