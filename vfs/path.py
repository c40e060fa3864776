"""Lexical helpers for paths: nothing here looks at a file system.

Paths and names are `str`; bytes that are no UTF-8 travel as surrogates (PEP 383), as everywhere in `os`.
"""

from __future__ import annotations

import errno
import os

from vfs.abi import NAME_MAX, PATH_MAX
from vfs.errors import error


def byte_length(text: str) -> int:
    """How many bytes the kernel would see."""
    return len(text) if text.isascii() else len(os.fsencode(text))


def check_path(path: str) -> None:
    """Refuse what getname() of Linux refuses before any walk.

    Errors: ENOENT for an empty path; ENAMETOOLONG from PATH_MAX bytes on; EINVAL for a NUL, which no C path can hold.
    """
    if not path:
        raise error(errno.ENOENT, path)
    if len(path) * 4 >= PATH_MAX and byte_length(path) >= PATH_MAX:
        raise error(errno.ENAMETOOLONG, path)
    if "\0" in path:
        raise error(errno.EINVAL, path)


def check_name(name: str) -> None:
    """Refuse a name longer than NAME_MAX bytes.

    Errors: ENAMETOOLONG.
    """
    if len(name) * 4 > NAME_MAX and byte_length(name) > NAME_MAX:
        raise error(errno.ENAMETOOLONG, name)


def split(path: str) -> tuple[str, str, bool]:
    """Split off the last component: (parent path, name, whether slashes follow the name).

    The parent is "" when the path has one component, and "/" or more slashes when that is all there is; the name is "" for
    a path of slashes alone. "." and ".." are names like any other here: what they mean is the resolver's business.
    """
    if path[-1:] != "/":
        head, slash, name = path.rpartition("/")
        return head + slash, name, False
    stripped = path.rstrip("/")
    head, slash, name = stripped.rpartition("/")
    return (head + slash, name, True) if stripped else (path, "", False)


def components(path: str) -> list[str]:
    """The names of a path in order, without the empty ones that repeated slashes make."""
    return [name for name in path.split("/") if name]
