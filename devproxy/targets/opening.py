"""Files of a root as Python's open() has them: the modes, and what is wrapped around what was opened."""

from __future__ import annotations

import errno
import io
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any, Final

_FLAGS: Final = {"r": 0, "w": os.O_CREAT | os.O_TRUNC, "a": os.O_CREAT | os.O_APPEND, "x": os.O_CREAT | os.O_EXCL}


def flags_of(mode: str) -> int:
    """The flags of open(2) for a mode of open(). Raises ValueError for one that is none."""
    kind = mode[:1]
    if kind not in _FLAGS or sorted(mode[1:]) not in ([], ["b"], ["t"], ["+"], ["+", "b"], ["+", "t"]):
        raise ValueError(f"mode is {mode!r}, expected one of r, w, a and x, with + or without, and b or t behind it")
    access = os.O_RDWR if "+" in mode else os.O_RDONLY if kind == "r" else os.O_WRONLY
    return access | _FLAGS[kind]


def require_openable(found: int, path: str, *, devices: bool) -> None:
    """Whether a file of this st_mode may be opened. Errors: EISDIR; EINVAL for devices, fifos and sockets unless they are
    asked for: opening one may do something.
    """
    if stat.S_ISDIR(found):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not (stat.S_ISREG(found) or devices):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)


def wrapped(raw: io.RawIOBase, mode: str) -> IO[Any]:
    """A raw file with a buffer around it, and, without b, as UTF-8 text."""
    buffer: io.BufferedRandom | io.BufferedReader | io.BufferedWriter
    if "+" in mode:
        # A stream has no position to share between the two.
        buffer = io.BufferedRandom(raw) if raw.seekable() else io.BufferedRWPair(raw, raw)  # type: ignore[assignment]
    else:
        buffer = io.BufferedReader(raw) if mode[0] == "r" else io.BufferedWriter(raw)
    return buffer if "b" in mode else io.TextIOWrapper(buffer, encoding="utf-8")
