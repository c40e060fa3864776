"""A bundle's config.json as a JSON document, read as hostile input: it may be anything, of any size and depth."""

from __future__ import annotations

import os
import stat

from devproxy.errors import InputError
from devproxy.json_text import loads
from devproxy.oci.json_path import JsonValue, quote, quote_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

ROOT = "config.json"
"""The path of the document itself."""

SIZE_MAX = 64 << 20
"""More than a hundred times what 10,000 mounts take; a larger config.json is refused before it is read."""

_HINT = "a bundle is a directory with a config.json and a rootfs; `runc spec` writes one"


def read_config(bundle: str) -> bytes:
    """The bytes of the config.json in `bundle`.

    Errors: InputError when there is none, it cannot be read, is no regular file or too large.
    """
    path = os.path.join(bundle, ROOT)
    try:
        # O_NONBLOCK: a fifo in the place of config.json must not hang the caller.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except ValueError:
        raise InputError(f"the bundle path {quote_path(bundle)} holds a NUL character") from None
    except OSError as error:
        raise InputError(_unreadable(bundle, error), hint=_HINT) from None
    try:
        return _read_regular(descriptor, path)
    except OSError as error:
        raise InputError(f"reading {quote_path(path)}: {error.strerror}") from None
    finally:
        os.close(descriptor)


def parse_document(content: bytes) -> object:
    """Parse JSON: UTF-8, no key twice in an object, no NaN.

    Errors: InputError that says where it is wrong.
    """
    repeated: list[tuple[str, dict[str, object]]] = []

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        members = dict(pairs)
        if len(members) != len(pairs):
            keys = [key for key, _ in pairs]
            repeated.append((next(key for n, key in enumerate(keys) if key in keys[:n]), members))
        return members

    try:
        document = loads(content.decode("utf-8"), pairs=unique, constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise InputError(f"byte {error.start} is not UTF-8, expected JSON in UTF-8") from None
    except RecursionError:
        raise InputError("its arrays or objects are nested too deeply") from None
    except ValueError as error:
        raise InputError(_not_json(error)) from None
    if repeated:
        key, owner = repeated[0]
        raise InputError(f"{_path_of(document, owner)} has the key {quote(key)} twice, expected it once")
    return document


def _not_json(error: ValueError) -> str:
    from json import JSONDecodeError

    if isinstance(error, JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}: not JSON: {error.msg}"
    return f"it holds a number that cannot be read: {error}"  # of thousands of digits


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


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


def _read_regular(descriptor: int, path: str) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{quote_path(path)} is not a regular file", hint=_HINT)
    if status.st_size > SIZE_MAX:
        raise InputError(f"{quote_path(path)} has {status.st_size} bytes, expected at most {SIZE_MAX}")
    with open(descriptor, "rb", closefd=False) as file:
        return file.read(SIZE_MAX + 1)
