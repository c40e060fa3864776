"""A tree of files taken into a layer, parents first, each directory's whiteouts before its other names, names in order."""

from __future__ import annotations

import os
import stat

from devproxy.layer.entry import FORMATS, OPAQUE, WHITEOUT, Entry, Kind, join, saveable
from devproxy.layer.tree import Tree
from devproxy.layer.writer import LayerWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from typing import Final

_KINDS: Final = {format_: kind for kind, format_ in FORMATS.items()}
_PREFIXES: Final = ("trusted.overlay.", "user.overlay.")


class Walk:
    """Takes mounts into one layer. `left_out` are paths that are not the layer's: other mounts, and what the plan makes anew.
    `note` is told what cannot be saved.
    """

    def __init__(self, writer: LayerWriter, left_out: Collection[str], note: Callable[[str], None]) -> None:
        self._writer = writer
        self._left_out = left_out
        self._note = note

    def take(self, tree: Tree, base: str, *, overlay: bool) -> None:
        """Take what is in `tree`, which is mounted at `base`. In an upper layer of an overlay, device 0:0 means that a name is gone
        (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories"). A tmpfs hides what it is mounted over.

        Errors: OSError; its path is the one in the container.
        """
        _Mount(tree, base, self._writer, self._left_out, self._note, overlay=overlay).take()


class _Mount:
    def __init__(
        self,
        tree: Tree,
        base: str,
        writer: LayerWriter,
        left_out: Collection[str],
        note: Callable[[str], None],
        *,
        overlay: bool,
    ) -> None:
        self._tree = tree
        self._base = base
        self._writer = writer
        self._left_out = left_out
        self._note = note
        self._overlay = overlay
        self._links: dict[tuple[int, int], str] = {}

    def take(self) -> None:
        waiting = [iter([""])]
        while waiting:
            path = next(waiting[-1], None)
            if path is None:
                waiting.pop()
                continue
            try:
                inside = self._take(path)
            except OSError as error:
                raise OSError(error.errno, error.strerror, f"/{join(self._base, path)}") from None
            if inside is not None:
                waiting.append(inside)

    def _take(self, path: str) -> Iterator[str] | None:
        """Take one path; returns what is in it, if it is a directory."""
        found = self._tree.lstat(path)
        kind = _KINDS.get(stat.S_IFMT(found.st_mode))
        entry = self._entry(path, kind or Kind.FILE, found)
        if kind is None:
            self._note(f"/{entry.path} is a socket, which no layer can hold")
            return None
        if kind is Kind.DIRECTORY:
            return self._directory(path, entry)
        if kind is Kind.FILE:
            self._file(path, entry, found)
            return None
        if kind in (Kind.CHARACTER, Kind.BLOCK):
            self._note(
                f"/{entry.path} is the device {entry.major}:{entry.minor}: a restore makes it only where linux.devices has it"
            )
        link = self._tree.readlink(path) if kind is Kind.SYMLINK else ""
        self._writer.add(entry._replace(link=link))
        return None

    def _entry(self, path: str, kind: Kind, found: os.stat_result) -> Entry:
        device = kind in (Kind.CHARACTER, Kind.BLOCK)
        return Entry(
            path=join(self._base, path),
            kind=kind,
            mode=stat.S_IMODE(found.st_mode),
            uid=found.st_uid,
            gid=found.st_gid,
            mtime_ns=found.st_mtime_ns,
            major=os.major(found.st_rdev) if device else 0,
            minor=os.minor(found.st_rdev) if device else 0,
        )

    def _directory(self, path: str, entry: Entry) -> Iterator[str]:
        attributes = self._tree.xattrs(path)
        self._writer.add(entry._replace(xattrs=self._saved(entry, attributes)))
        if self._is_opaque(path, attributes):
            self._writer.add(Entry(join(entry.path, OPAQUE), Kind.FILE, 0o644))
        others, gone = [], []
        for name in sorted(self._tree.names(path), key=os.fsencode):
            if join(entry.path, name) in self._left_out:
                continue
            if self._overlay and self._is_whiteout(join(path, name)):
                gone.append(name)
            elif name.startswith(WHITEOUT):
                self._note(f"/{join(entry.path, name)} has the name of a whiteout, which a layer takes for one")
            else:
                others.append(join(path, name))
        for name in gone:
            self._writer.add(Entry(join(entry.path, WHITEOUT + name), Kind.FILE, 0o644))
        return iter(others)

    def _is_opaque(self, path: str, attributes: dict[str, bytes]) -> bool:
        if not self._overlay:
            return not path
        return any(attributes.get(prefix + "opaque") == b"y" for prefix in _PREFIXES)

    def _is_whiteout(self, path: str) -> bool:
        found = self._tree.lstat(path)
        return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0

    def _file(self, path: str, entry: Entry, found: os.stat_result) -> None:
        if found.st_nlink > 1:
            first = self._links.setdefault((found.st_dev, found.st_ino), entry.path)
            if first != entry.path:
                self._writer.add(entry._replace(kind=Kind.HARD_LINK, link=first))
                return
        attributes = self._saved(entry, self._tree.xattrs(path))
        with self._tree.open(path) as content:
            self._writer.add(entry._replace(size=content.size, xattrs=attributes), content)

    def _saved(self, entry: Entry, attributes: dict[str, bytes]) -> tuple[tuple[str, bytes], ...]:
        for name in sorted(attributes):
            if not saveable(name) and not (self._overlay and name.startswith(_PREFIXES)):
                self._note(f"/{entry.path} has the attribute {name}, which stays behind")
        return tuple((name, attributes[name]) for name in sorted(attributes) if saveable(name))
