"""What is missing in the root's own directory, before anything is mounted."""

from __future__ import annotations

import errno
import posixpath
from itertools import takewhile

from devproxy.overlay import LAYERS
from devproxy.targets.target import FileKind, Look, Source, Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def first_missing(target: Target, source: Source, paths: Sequence[str]) -> str | None:
    """The first of some paths that has to be made in a source, or None. Raises OSError for one that cannot be looked at."""
    there = target.directories_in(source, takewhile(_is_no_layer, paths))
    return next((path for path in paths[there:] if _is_missing(target, source, path)), None)


def _is_missing(target: Target, source: Source, path: str) -> bool:
    if not _is_no_layer(path):
        return True  # whatever is there now: an overlay's layer, which no root shows
    try:
        there = look_in(target, source, path)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
            raise
        # It cannot be there; the step that needs it says so in its own words.
        return True
    return there is None or (there.kind is FileKind.SYMLINK and _leads_nowhere(target, source, path))


def _leads_nowhere(target: Target, source: Source, link: str) -> bool:
    """Whether what a link leads to has to be made."""
    try:
        return look_in(target, source, f"{link}/.") is None
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
            raise
        return False  # a file, or a circle, in which nothing can be made


def look_in(target: Target, source: Source, path: str) -> Look | None:
    """See `Target.look_in`. Raises OSError about the path as the host has it."""
    try:
        return target.look_in(source, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, posixpath.join(source.path, path.lstrip("/"))) from None


def _is_no_layer(path: str) -> bool:
    """Whether a path is not where overlays have their layers."""
    return path.split("/")[1] != LAYERS
