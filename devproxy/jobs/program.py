"""Why a program could not be executed."""

from __future__ import annotations

import errno
import os


def why_not(word: str, number: int) -> int:
    """The errno that says it: execvp(3) says EACCES too of a directory in PATH that may not be searched, where nothing was found."""
    if number == errno.EACCES and "/" not in word and not _is_in_path(word):
        return errno.ENOENT
    return number


def _is_in_path(name: str) -> bool:
    return any(os.path.lexists(os.path.join(place, name)) for place in os.get_exec_path())
