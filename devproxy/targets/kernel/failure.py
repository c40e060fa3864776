"""Errors that cross from the builder to its caller, and are raised there as what they were."""

from __future__ import annotations

import os

from devproxy.errors import DevproxyError, InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final


class NotFound(DevproxyError):
    """There is no such executable in the root. Exit code 127, as sh(1) has it."""


class NotExecutable(DevproxyError):
    """What was found cannot be executed, or must not be. Exit code 126, as sh(1) has it."""


_KINDS: Final = {kind.__name__: kind for kind in (DevproxyError, InputError, NotFound, NotExecutable)}


def to_json(error: BaseException) -> dict[str, Any]:
    """An error as a JSON value."""
    if isinstance(error, DevproxyError):
        kind = type(error).__name__ if type(error).__name__ in _KINDS else DevproxyError.__name__
        return {"kind": kind, "message": error.message, "hint": error.hint}
    if isinstance(error, OSError) and error.errno is not None:
        filename = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else None
        return {"kind": "OSError", "errno": error.errno, "strerror": error.strerror, "filename": filename}
    return {"kind": "defect", "message": f"{type(error).__name__}: {error}", "where": _where(error)}


def from_json(value: dict[str, Any]) -> Exception:
    """The error that `to_json` was given. What nobody foresaw becomes a RuntimeError that says where it was raised."""
    if value["kind"] == "OSError":
        return OSError(value["errno"], value["strerror"], value["filename"])
    if value["kind"] in _KINDS:
        return _KINDS[value["kind"]](value["message"], hint=value["hint"])
    error = RuntimeError(value["message"])
    error.add_note(value["where"])
    return error


def _where(error: BaseException) -> str:
    frames, traceback = [], error.__traceback__
    while traceback is not None:
        frames.append(f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}")
        traceback = traceback.tb_next
    return "in the builder: " + " > ".join(frames)
