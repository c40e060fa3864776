"""One path on both sides: what it is, and how two answers differ."""

from __future__ import annotations

import errno
import os
import stat

from devproxy.check.finding import Finding, error
from devproxy.node import DeviceNumber, number_of_rdev
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object

_KINDS = {
    stat.S_IFDIR: "directory",
    stat.S_IFREG: "regular file",
    stat.S_IFLNK: "symbolic link",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


class Tree(Protocol):
    """As much of a built root as looking at one path needs."""

    def lstat(self, path: str) -> os.stat_result:
        """What a path is, a final link not followed."""

    def readlink(self, path: str) -> str:
        """The target of a symbolic link."""


class Entry(Record):
    """What lstat(2), and readlink(2) for a link, say of a path. `number` is set for devices, `link` for links."""

    kind: int
    mode: int
    uid: int
    gid: int
    number: DeviceNumber | None
    link: str | None

    @property
    def kind_word(self) -> str:
        """The kind in words."""
        return _KINDS.get(self.kind, f"kind {self.kind:o}")

    def describe(self) -> str:
        """`character device 1:3`, `symbolic link to /proc/self/fd`."""
        if self.number is not None:
            return f"{self.kind_word} {self.number}"
        return self.kind_word if self.link is None else f"{self.kind_word} to {self.link}"


def entry_at(tree: Tree, path: str) -> Entry | None:
    """What is at `path`, or None if it (or a parent) is missing, or links on the way lead in a circle or out of the root.
    Raises OSError when it cannot be looked at.
    """
    try:
        found = tree.lstat(path)
        link = tree.readlink(path) if stat.S_ISLNK(found.st_mode) else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as problem:
        if problem.errno != errno.ELOOP:
            raise
        return None
    kind = stat.S_IFMT(found.st_mode)
    number = number_of_rdev(found.st_rdev) if kind in (stat.S_IFCHR, stat.S_IFBLK) else None
    return Entry(kind, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, number, link)


def differences(path: str, expected: Entry | None, found: Entry | None, why: str = "") -> list[Finding]:
    """How what was found at `path` differs from what was expected; missing and surplus entries too."""
    if expected is None or found is None:
        if expected is not None:
            return [error("entry-missing", path, expected.describe(), "missing", why)]
        return [error("entry-unexpected", path, "nothing", found.describe(), why)] if found is not None else []
    if expected.kind != found.kind:
        return [error("node-kind-wrong", path, expected.describe(), found.describe(), why)]
    findings = _number_differs(path, expected.number, found.number, why)
    if expected.link is not None:
        if expected.link != found.link:
            findings.append(error("link-differs", path, f"a link to {expected.link}", f"a link to {found.link}", why))
        return findings  # a link has no mode of its own (symlink(7)), and nobody asks for its owner
    if expected.mode != found.mode:
        findings.append(error("mode-differs", path, f"mode {expected.mode:04o}", f"mode {found.mode:04o}", why))
    return findings + _owner_differs(path, expected, found, why)


def _number_differs(path: str, expected: DeviceNumber | None, found: DeviceNumber | None, why: str) -> list[Finding]:
    if expected is None or found is None or expected == found:
        return []
    code = "node-major-mismatch" if expected.major != found.major else "node-number-wrong"
    return [error(code, path, str(expected), str(found), why)]


def _owner_differs(path: str, expected: Entry, found: Entry, why: str) -> list[Finding]:
    if (expected.uid, expected.gid) == (found.uid, found.gid):
        return []
    return [error("owner-differs", path, f"owner {expected.uid}:{expected.gid}", f"owner {found.uid}:{found.gid}", why)]
