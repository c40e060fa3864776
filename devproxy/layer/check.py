"""What the entries of a layer may be: everything that could lead out of the root, or that devproxy never writes, is refused before
anything is made.
"""

from __future__ import annotations

from devproxy.layer.entry import WHITEOUT, Entry, Kind, is_at_or_below, saveable
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final

_LONGEST_NAME: Final = 255
_LONGEST_LINK: Final = 4095
_LONGEST_XATTR: Final = 1 << 16
_NOBODY: Final = (1 << 32) - 1
# What 64 bits of nanoseconds hold, and no file system of today more.
_FARTHEST: Final = (1 << 63) - 1


class Part(Record):
    """A mount of the layer: where it is in the container (no first slash), and what: `overlay`, `tmpfs` or `file`."""

    path: str
    kind: str


class RefusedError(Exception):
    """An entry is not taken. The text names it, and says why."""


def divide(entries: Iterable[Entry], parts: Mapping[str, Part]) -> dict[str, list[Entry]]:
    """The entries of each part, by the part's path. Each belongs to the deepest part that it is in.

    Raises RefusedError for the first entry that is not taken.
    """
    own: dict[str, _Checker] = {path: _Checker(part) for path, part in parts.items()}
    directories: dict[str, str] = {}  # those that were taken, with the part that each is in
    for entry in entries:
        parent = entry.parent
        # Of what is in a directory that was taken the last name alone is new. (`/x` is in no directory of the layer.)
        known = directories.get(parent) if parent or not entry.path.startswith("/") else None
        names = () if not entry.path else entry.path.split("/") if known is None else (entry.name,)
        _check_names(entry, names)
        if entry.hides in parts:
            raise RefusedError(f"the whiteout {entry.path} would hide what is mounted at /{entry.hides}")
        part = _part_of(entry, parts) if known is None or entry.path in parts else known
        own[part].take(entry)
        if entry.kind is Kind.DIRECTORY:
            directories[entry.path] = part
    return {path: checker.taken for path, checker in own.items()}


def _part_of(entry: Entry, parts: Mapping[str, Part]) -> str:
    path = entry.path
    while path not in parts:
        if not path:
            raise RefusedError(f"{entry.path!r} is in none of the mounts that were saved")
        path = path.rpartition("/")[0]
    return path


def _check_names(entry: Entry, names: Iterable[str]) -> None:
    for name in names:
        if name in ("", ".", "..") or "\0" in name:
            raise RefusedError(f"the path {entry.path!r} is not one of a file in the root, such as ./etc/hosts")
        if len(name.encode("utf-8", "surrogateescape")) > _LONGEST_NAME:
            raise RefusedError(f"the path {entry.path!r} has a name of more than {_LONGEST_NAME} bytes")


class _Checker:
    """Takes the entries of one part in their order."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._kinds: dict[str, Kind] = {}
        # Directories, and whether something is in them. A key that is there stays the object that it is, an entry's own path: of a
        # deep tree's long paths none is kept twice.
        self._begun: dict[str, bool] = {}
        self.taken: list[Entry] = []

    def take(self, entry: Entry) -> None:
        hidden = entry.hides
        if hidden is not None or entry.is_opaque:
            self._check_whiteout(entry, hidden)
        self._check_place(hidden or entry.path, entry)
        self._check_attributes(entry)
        self._check_content(entry)
        self._kinds[hidden or entry.path] = entry.kind
        if entry.kind is Kind.DIRECTORY:
            self._begun[entry.path] = False
        if (parent := entry.parent) in self._begun and entry.path:
            self._begun[parent] = True
        self.taken.append(entry)

    def _check_whiteout(self, entry: Entry, hidden: str | None) -> None:
        own = self._part
        if entry.kind is not Kind.FILE or entry.size or entry.xattrs:
            raise RefusedError(f"the whiteout {entry.path} is no empty file")
        if own.kind == "file" or not is_at_or_below(entry.parent, own.path):
            raise RefusedError(f"the whiteout {entry.path} would hide what is mounted at /{own.path}")
        if own.kind == "tmpfs" and (hidden is not None or entry.parent != own.path):
            raise RefusedError(f"the whiteout {entry.path} is in a tmpfs, in which there is nothing to hide")
        if hidden is not None:
            name = entry.name.removeprefix(WHITEOUT)
            if name in ("", ".", "..") or name.startswith(WHITEOUT):
                raise RefusedError(f"the whiteout {entry.path} hides no name of a file")
        elif self._begun.get(entry.parent):
            raise RefusedError(f"{entry.path} comes behind what its directory holds, it has to be first")

    def _check_place(self, path: str, entry: Entry) -> None:
        base = self._part.path
        if path in self._kinds:
            raise RefusedError(f"{path!r} is there twice")
        if path == base:
            wanted = Kind.FILE if self._part.kind == "file" else Kind.DIRECTORY
            if entry.kind is not wanted or entry.hides is not None:
                raise RefusedError(f"/{path} is not what is mounted there: a {wanted.name.lower()} was expected")
            return
        above = path.rpartition("/")[0]
        if self._kinds.get(above) is not Kind.DIRECTORY:
            raise RefusedError(f"{path!r} is in {above!r}, which is no directory of the same mount before it")

    def _check_attributes(self, entry: Entry) -> None:
        path = entry.path
        if entry.mode & ~0o7777:
            raise RefusedError(f"{path!r} has the mode {entry.mode:o}, which is more than permissions")
        if not (0 <= entry.uid < _NOBODY and 0 <= entry.gid < _NOBODY):
            raise RefusedError(f"{path!r} has the owner {entry.uid}:{entry.gid}, which is nobody's")
        if abs(entry.mtime_ns) > _FARTHEST or entry.size > _FARTHEST:
            raise RefusedError(f"{path!r} has a time or size that no file can have")
        for name, value in entry.xattrs:
            if not saveable(name) or "\0" in name or len(value) > _LONGEST_XATTR:
                raise RefusedError(
                    f"{path!r} has the attribute {name}: only user.* and security.capability are taken, and what an "
                    "overlay notes for itself is not"
                )
        if entry.xattrs and entry.kind not in (Kind.FILE, Kind.DIRECTORY):
            raise RefusedError(f"{path!r} has attributes, which only files and directories can have here")

    def _check_content(self, entry: Entry) -> None:
        if entry.kind is Kind.SYMLINK and not (
            0 < len(entry.link.encode("utf-8", "surrogateescape")) <= _LONGEST_LINK and "\0" not in entry.link
        ):
            raise RefusedError(f"{entry.path!r} is a symbolic link to {entry.link[:80]!r}")
        if entry.kind is Kind.HARD_LINK and self._kinds.get(entry.link) is not Kind.FILE:
            raise RefusedError(
                f"{entry.path!r} is a hard link to {entry.link!r}, which is no file of the same mount before it"
            )
