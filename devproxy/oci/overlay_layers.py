"""The layers of an overlay that a spec mounts, from its options (Documentation/filesystems/overlayfs.rst)."""

from __future__ import annotations

import os
import re

from devproxy.errors import InputError
from devproxy.oci.json_path import JsonValue, quote
from devproxy.overlay import Layers
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

_KEYS: Final = ("lowerdir", "upperdir", "workdir")
_LIMIT: Final = 500  # OVL_MAX_STACK
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


class ParsedLayers(Record):
    """The layers, and the options that name none. `unsupported` has what is left out."""

    layers: Layers
    others: list[JsonValue]
    unsupported: tuple[str, ...]


def parse_layers(entry: JsonValue, words: Iterable[JsonValue], bundle: str) -> ParsedLayers:
    """The layers of the mount `entry` of type overlay, from its options. A backslash keeps a colon from separating, as
    for the kernel; a relative path is of the bundle, as a bind's source is (S28). Of two options of a name the last wins.

    Errors: InputError for layers that are missing or too many, for an upper one without a work directory, for layers of data
    alone (`::`), which go with metacopy, and for redirects beside userxattr.
    """
    found: dict[str, JsonValue] = {}
    others: list[JsonValue] = []
    for word in words:
        key = word.text().partition("=")[0]
        if key in _KEYS:
            found[key] = word
        else:
            others.append(word)
    _check_redirects(others)
    if "lowerdir" not in found:
        raise InputError(f"{entry.path}.options names no lowerdir", hint="an overlay has lowerdir=/TOP:/NEXT at least")
    lowers = _lowers(found["lowerdir"], bundle)
    if "upperdir" not in found:
        return ParsedLayers(_read_only(found["lowerdir"], lowers), others, ("workdir",) if "workdir" in found else ())
    if "workdir" not in found:
        hint = "workdir= names an empty directory beside it, on the same file system"
        raise InputError(f"{found['upperdir'].path} is an upperdir without a workdir", hint=hint)
    upper, work = (_path(found[key], _value(found[key]), bundle) for key in ("upperdir", "workdir"))
    return ParsedLayers(Layers(lowers, upper, work), others, ())


def _check_redirects(others: list[JsonValue]) -> None:
    """What anybody may note in a user attribute leads nowhere: redirects go with trusted ones alone."""
    if any(word.text() == "userxattr" for word in others):
        for word in others:
            if word.text().startswith("redirect_dir=") and word.text() != "redirect_dir=nofollow":
                raise word.wrong("redirect_dir=nofollow beside userxattr")


def _lowers(word: JsonValue, bundle: str) -> tuple[str, ...]:
    value = _value(word)
    paths = re.findall(r"(?:\\.|[^\\:])+", value, re.DOTALL)
    if len(paths) != len(_ESCAPED.sub("", value).split(":")):
        raise word.wrong("directories between single colons", hint="layers of data alone (::) are not supported")
    if len(paths) > _LIMIT:
        raise word.wrong(f"at most {_LIMIT} layers")
    return tuple(_path(word, path, bundle) for path in paths)


def _read_only(word: JsonValue, lowers: tuple[str, ...]) -> Layers:
    if len(lowers) < 2:
        hint = "name a second one, or an upperdir and a workdir; one directory alone is a bind"
        raise InputError(f"{word.path} is {quote(word.text())}, an overlay of one layer", hint=hint)
    return Layers(lowers)


def _value(word: JsonValue) -> str:
    """What is named. Errors: InputError for nothing, and for a comma that no backslash keeps from separating options."""
    value = word.text().partition("=")[2]
    if not value:
        raise word.wrong("an option with a path")
    if "," in _ESCAPED.sub("", value):
        raise word.wrong("one option; options are separate strings, and a comma in a path is written \\,")
    return value


def _path(word: JsonValue, escaped: str, bundle: str) -> str:
    return os.path.join(bundle, JsonValue(_ESCAPED.sub(r"\1", escaped), word.path).host_path())
