"""Errors inside the VFS are plain `OSError`: the errno, its text, and the path or name where one is known."""

from __future__ import annotations

import os


def error(number: int, name: str | None = None) -> OSError:
    """The `OSError` for an errno; Python picks the subclass (ENOENT gives FileNotFoundError)."""
    return OSError(number, os.strerror(number)) if name is None else OSError(number, os.strerror(number), name)
