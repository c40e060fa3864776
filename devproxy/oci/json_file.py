"""A bundle's config.json as a JSON document, read as hostile input: it may be anything, of any size and depth."""

from __future__ import annotations

import os
import stat

from devproxy.errors import InputError
from devproxy.json_text import loads
from devproxy.oci.json_path import JsonValue, quote, quote_path

ROOT = "config.json"
"""The path of the document itself."""

SIZE_MAX = 64 << 20
"""More than a hundred times what 10,000 mounts take; a larger config.json is refused before it is read."""

_CHUNK = 1 << 16
_HINT = "a bundle is a directory with a config.json and a rootfs; `runc spec` writes one"


def read_config(bundle: str) -> bytes:
    """The bytes of the config.json in `bundle`.

    Errors: InputError when there is none, it cannot be read, is no regular file or too large.
    """
    path = os.path.join(bundle, ROOT)
    try:
        return read_regular(path, SIZE_MAX)
    except ValueError:
        raise InputError(f"the bundle path {quote_path(bundle)} holds a NUL character") from None
    except OSError as error:
        raise InputError(_unreadable(bundle, error), hint=_HINT) from None


def read_regular(path: str, maximum: int) -> bytes:
    """The bytes of a regular file that somebody named. Anything else is not waited for and not read.

    Errors: InputError for what is no regular file, larger than `maximum`, or fails to be read; OSError when it cannot be
    opened; ValueError for a NUL in the path.
    """
    # O_NONBLOCK: a fifo must not hang the caller.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{quote_path(path)} is not a regular file")
        if status.st_size > maximum:
            raise InputError(f"{quote_path(path)} has {status.st_size} bytes, expected at most {maximum}")
        content = _read_up_to(descriptor, maximum + 1)
    except OSError as error:
        raise InputError(f"reading {quote_path(path)}: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if len(content) > maximum:
        raise InputError(f"{quote_path(path)} grows while it is read, expected at most {maximum} bytes")
    return content


def _read_up_to(descriptor: int, length: int) -> bytes:
    """What is there, but no more: to have room for the most that there may be takes longer than to read what there is."""
    parts, left = [], length
    while left > 0 and (part := os.read(descriptor, min(left, _CHUNK))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def parse_document(content: bytes) -> object:
    """Parse JSON: UTF-8, no key twice in an object, no NaN.

    Errors: InputError that says where it is wrong.
    """
    repeated: list[tuple[str, dict[str, object]]] = []
    constants: list[_NoNumber] = []

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        members = dict(pairs)
        if len(members) != len(pairs):
            repeated.append((_first_repeated(pairs), members))
        return members

    def constant(name: str) -> _NoNumber:
        constants.append(_NoNumber(f"{name}, which is not JSON"))
        return constants[-1]

    try:
        text = content.decode("utf-8")
        document = loads(text, pairs=unique, constant=constant)
    except UnicodeDecodeError as error:
        raise InputError(f"byte {error.start} is not UTF-8, expected JSON in UTF-8") from None
    except RecursionError:
        raise InputError("its arrays or objects are nested too deeply") from None
    except ValueError as error:
        if text.startswith("\ufeff"):
            message = "not JSON: it begins with a byte order mark, which JSON does not have"
            raise InputError(message, hint="take it away there: sed -i '1s/^\\xEF\\xBB\\xBF//'") from None
        raise InputError(_not_json(error, text)) from None
    if repeated:
        key, owner = repeated[0]
        raise InputError(f"{_path_of(document, owner)} has the key {quote(key)} twice, expected it once")
    if constants:
        raise InputError(f"{_path_of(document, constants[0])} is {constants[0].what}")
    return document


class _NoNumber:
    """Stands in a document where there should be a number."""

    def __init__(self, what: str) -> None:
        self.what = what


def _not_json(error: ValueError, text: str) -> str:
    from json import JSONDecodeError, loads

    if isinstance(error, JSONDecodeError):
        what = "JSON has no comments" if text.startswith(("//", "/*", "#"), error.pos) else error.msg
        return f"line {error.lineno}, column {error.colno}: not JSON: {what}"
    # A number of thousands of digits, which the interpreter refuses: where it is takes reading everything again.
    found: list[_NoNumber] = []

    def integer(digits: str) -> object:
        try:
            return int(digits)
        except ValueError:
            found.append(_NoNumber(f"a number of {len(digits)} digits, which cannot be read"))
            return found[-1]

    document = loads(text, parse_int=integer)
    return f"{_path_of(document, found[0])} is {found[0].what}"


def _first_repeated(pairs: list[tuple[str, object]]) -> str:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return key
        seen.add(key)
    raise AssertionError


def _path_of(document: object, wanted: object) -> str:
    pending = [JsonValue(document, ROOT)]
    while pending:
        here = pending.pop()
        if here.value is wanted:
            return here.path
        if isinstance(here.value, dict):
            pending.extend(value for _, value in here.members())
        elif isinstance(here.value, list):
            pending.extend(here.elements())
    return "an object that a later one replaces"


def _unreadable(bundle: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError) and os.path.isdir(bundle):
        return f"{quote_path(bundle)} is not a bundle: it has no config.json"
    if isinstance(error, FileNotFoundError):
        return f"there is no bundle at {quote_path(bundle)}"
    if isinstance(error, NotADirectoryError):
        return f"{quote_path(bundle)} is not a directory, expected a bundle"
    return f"opening {quote_path(os.path.join(bundle, ROOT))}: {error.strerror}"
