"""JSON values that know where they stand: every accessor checks the type and a wrong value names its path.

`mounts[3].destination is 5 (a number), expected a string`. A member that is missing and one that is null are the same,
as they are for the other runtimes.
"""

from __future__ import annotations

import posixpath

from devproxy.errors import InputError
from devproxy.json_text import dumps
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeGuard

PATH_MAX = 4095
"""The longest path in bytes that a system call takes, its NUL not counted (limits.h)."""

_SHOWN = 80


class JsonValue(Record):
    """A value of a parsed JSON document, and its path in it. The document itself has the path `config.json`."""

    value: object
    path: str

    def wrong(self, expected: str, *, hint: str = "") -> InputError:
        """The error that says what was found here and what was expected."""
        return InputError(f"{self.path} is {describe(self.value)}, expected {expected}", hint=hint)

    def member(self, key: str) -> JsonValue | None:
        """The member `key` of an object, or None."""
        if not isinstance(self.value, dict):
            raise self.wrong("an object")
        found = self.value.get(key)
        return None if found is None else JsonValue(found, _join(self.path, key))

    def required(self, key: str) -> JsonValue:
        """The member `key` of an object, which has to be there."""
        found = self.member(key)
        if found is None:
            raise InputError(f"{_join(self.path, key)} is missing")
        return found

    def members(self) -> Iterator[tuple[str, JsonValue]]:
        """The members of an object, in their order; those that are null are left out."""
        if not isinstance(self.value, dict):
            raise self.wrong("an object")
        for key, value in self.value.items():
            if value is not None:
                yield key, JsonValue(value, _join(self.path, key))

    def elements(self) -> Iterator[JsonValue]:
        """The elements of an array."""
        if not isinstance(self.value, list):
            raise self.wrong("an array")
        for index, value in enumerate(self.value):
            yield JsonValue(value, f"{self.path}[{index}]")

    def optional_elements(self, key: str) -> Iterator[JsonValue]:
        """The elements of the array `key`; none if it is missing."""
        found = self.member(key)
        return iter(()) if found is None else found.elements()

    def text(self, expected: str = "a string") -> str:
        """A string that the kernel can take: no NUL in it and no half of a surrogate pair."""
        if not isinstance(self.value, str):
            raise self.wrong(expected)
        if "\0" in self.value:
            raise self.wrong(f"{expected} without NUL characters")
        if not self.value.isascii() and any("\ud800" <= character <= "\udfff" for character in self.value):
            raise self.wrong(f"{expected} without lone surrogates")
        return self.value

    def optional_text(self, key: str) -> str:
        """The string `key`, empty if it is missing."""
        found = self.member(key)
        return "" if found is None else found.text()

    def texts(self) -> tuple[str, ...]:
        """An array of strings."""
        return tuple(element.text() for element in self.elements())

    def optional_texts(self, key: str) -> tuple[str, ...]:
        """The array of strings `key`, empty if it is missing."""
        found = self.member(key)
        return () if found is None else found.texts()

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            raise self.wrong("true or false")
        return self.value

    def optional_flag(self, key: str) -> bool:
        """Whether `key` is there and true."""
        found = self.member(key)
        return found is not None and found.flag()

    def whole(self, low: int, high: int) -> int:
        """A whole number in `low`..`high`."""
        if isinstance(self.value, bool) or not isinstance(self.value, int) or not low <= self.value <= high:
            raise self.wrong(f"a whole number from {low} to {high}")
        return self.value

    def optional_whole(self, key: str, low: int, high: int) -> int | None:
        """The whole number `key` in `low`..`high`, or None if it is missing."""
        found = self.member(key)
        return None if found is None else found.whole(low, high)

    def host_path(self) -> str:
        """A path of the host, as it was written, short enough for a system call."""
        text = self.text("a path")
        if not text:
            raise self.wrong("a path")
        _check_length(self, text)
        return text

    def container_path(self) -> str:
        """An absolute path inside the container, cleaned lexically (S17)."""
        text = self.text("an absolute path")
        if not text.startswith("/"):
            raise self.wrong("an absolute path")
        _check_length(self, text)
        return clean(text)


def is_plain_path(value: object) -> TypeGuard[str]:
    """Whether a value is a path for which `container_path` is the value itself, as nearly all are. It says no to some others."""
    return (
        type(value) is str
        and value.isascii()
        and value[:1] == "/"
        and value[-1] != "/"
        and "//" not in value
        and "/." not in value
        and "\0" not in value
        and len(value) <= PATH_MAX
    )


def clean(path: str) -> str:
    """An absolute path without `.`, `..`, doubled or trailing slashes, by its letters alone."""
    return "/" + posixpath.normpath(path).lstrip("/")


def describe(value: object) -> str:
    """A value and its JSON type, short and printable: `5 (a number)`, `"a" (a string)`, `an array of 3`."""
    if isinstance(value, str):
        return f"{quote(value)} (a string)"
    if isinstance(value, bool):
        return f"{str(value).lower()} (a boolean)"
    if isinstance(value, int | float):
        return f"{_shorten(str(value))} (a number)"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    return "null" if value is None else f"{value} (a date or time)"  # as TOML has them


def quote(text: str) -> str:
    """A string in quotes with everything unprintable escaped, cut when it is long."""
    shown = dumps(text[:_SHOWN])
    return shown if len(text) <= _SHOWN else f"{shown}... ({len(text)} characters)"


def quote_path(path: str) -> str:
    """A path that the user gave, in quotes: whole, for a path that is cut cannot be found."""
    return dumps(path) if len(path) <= PATH_MAX else quote(path)


def _shorten(digits: str) -> str:
    return digits if len(digits) <= _SHOWN else f"{digits[:_SHOWN]}... ({len(digits)} digits)"


def _join(path: str, key: str) -> str:
    if not (key.isidentifier() and key.isascii() and len(key) <= _SHOWN):
        return f"{path}[{quote(key)}]"
    return key if path == "config.json" else f"{path}.{key}"


def _check_length(value: JsonValue, text: str) -> None:
    if len(text.encode()) > PATH_MAX:
        raise value.wrong(f"a path of at most {PATH_MAX} bytes")
