"""What is seen under a name: the search through the layers (ovl_lookup of Linux, fs/overlayfs/namei.c).

A whiteout ends the search, as do a file that is no directory and an opaque directory; a directory is seen together with the
directories below it. A redirect changes the name that is looked for further down. Redirects are followed like links without
permission checks, into layers that others may have filled: every part of one is a plain name.
"""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING, NamedTuple

from vfs.errors import error
from vfs.fs.overlay.layers import find
from vfs.resolve import SPECIAL_NAMES

if TYPE_CHECKING:
    from vfs.fs.overlay.filesystem import OverlayFilesystem
    from vfs.fs.overlay.layers import Part


class Found(NamedTuple):
    """The part in the upper layer and its redirect, and the parts in lower layers."""

    upper: Part | None
    lowers: tuple[Part, ...]
    redirect: str | None


def look(fs: OverlayFilesystem, upper: Part | None, lowers: tuple[Part, ...], name: str) -> Found | None:
    """What is seen under a name of a directory that has these parts.

    Errors: EPERM for a redirect that is not to be followed; EINVAL, EACCES for one that is no path; ELOOP for a directory
    that is the root of another layer; the layers' own.
    """
    search = _Search(fs, name)
    top, redirect = None, None
    if upper is not None:
        search.last = not lowers
        top = search.layer(upper)
        search.check_follow()
        redirect = search.redirect
        if redirect is not None and redirect[0] == "/":
            lowers = fs.lowers
    below = () if search.stop or not lowers else search.below(lowers)
    if top is None and not below:
        return None
    return Found(top, below, redirect if top is not None else None)


class _Search:
    """`name` is what is looked for in the next layer. `last` says that nothing comes after the layer at hand, `stop` that
    nothing is to come.
    """

    __slots__ = ("_fs", "_marks", "is_directory", "last", "name", "redirect", "stop")

    def __init__(self, fs: OverlayFilesystem, name: str) -> None:
        self._fs = fs
        self._marks = fs.marks
        self.name = name
        self.redirect: str | None = None
        self.is_directory = self.last = self.stop = False

    def below(self, lowers: tuple[Part, ...]) -> tuple[Part, ...]:
        """The parts in the lower layers."""
        follows, roots = self._fs.follows_redirects, self._fs.lowers
        parts: list[Part] = []
        index = 0
        while not self.stop and index < len(lowers):
            lower = lowers[index]
            index += 1
            self.last = lower.layer == len(roots) if follows else index == len(lowers)
            found = self.layer(lower)
            if found is None:
                continue
            self.check_follow()
            parts.append(found)
            if self.redirect is not None and self.redirect[0] == "/" and lowers is not roots:
                lowers, index = roots, lower.layer
        return tuple(parts)

    def check_follow(self) -> None:
        """Errors: EPERM for a redirect that is not to be followed."""
        if self.redirect is not None and not self._fs.follows_redirects:
            raise error(errno.EPERM, self.name)

    def layer(self, base: Part) -> Part | None:
        """What one layer has under the name, or under the path that a redirect gave."""
        if self.name[0] != "/":
            return self._single(base, self.name, "", "")
        # What is left is counted from the end, as the beginning may change on the way.
        left = len(self.name) - 1
        found: Part | None = base
        while found is not None and stat.S_ISDIR(found.dentry.inode.mode):
            start = len(self.name) - left
            name, slash, _ = self.name[start:].partition("/")
            end = start + len(name)
            found = self._single(found, name, self.name[:start], self.name[end:])
            if not slash:
                return found
            left -= len(name) + 1
        return None

    def _single(self, base: Part, name: str, before: str, after: str) -> Part | None:
        if name in SPECIAL_NAMES:
            raise error(errno.EACCES, self.name)
        found = _find(base, name)
        if found is None:
            return None
        inode = found.dentry.inode
        if self._marks.is_whiteout(inode):
            self.stop = True
            return None
        if not stat.S_ISDIR(inode.mode):
            self.stop = True
            return None if self.is_directory or after else found
        if inode in self._fs.traps:
            raise error(errno.ELOOP, name)
        if not after:
            self.is_directory = True
        if self.last:
            return found
        if self._marks.is_opaque(inode):
            self.stop = True
            return found
        self._follow(self._marks.redirect(inode), before, after)
        return found

    def _follow(self, redirect: str | None, before: str, after: str) -> None:
        if redirect is None:
            return
        if redirect[0] == "/":
            # It leads out of what an opaque directory on the way had closed.
            self.stop = False
            self.name = redirect + after
        else:
            self.name = before + redirect + after
        self.redirect = self.name


def _find(base: Part, name: str) -> Part | None:
    try:
        return find(base, name)
    except OSError as problem:
        if problem.errno == errno.ENAMETOOLONG:
            return None
        raise
