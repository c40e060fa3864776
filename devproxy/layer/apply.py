"""A layer applied to a tree (image-spec, layer.md, "Applying Changesets"): what it names is as it says, the rest stays."""

from __future__ import annotations

import os
import stat

from devproxy.layer.entry import FORMATS, Entry, Kind, below, join, saveable
from devproxy.layer.tree import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Final

_CHUNK: Final = 1 << 20


def apply(entries: Iterable[Entry], archive: int, tree: Tree, base: str) -> None:
    """Make what `entries` say in `tree`, which is mounted at `base`. Their data are in the open file `archive`.

    Preconditions: the entries are those of one part, and `check.divide` took them. Nothing is mounted in the tree.

    Errors: OSError; its path is the one in the container.
    """
    directories: list[Entry] = []
    for entry in entries:
        try:
            _make(entry, archive, tree, base, directories)
        except OSError as error:
            raise OSError(error.errno, error.strerror, f"/{entry.path}") from None
    # Whoever makes something in a directory changes its time, so that directories come last, the deepest first.
    for entry in reversed(directories):
        _set_attributes(tree, below(entry.path, base), entry)


def _make(entry: Entry, archive: int, tree: Tree, base: str, directories: list[Entry]) -> None:
    hidden = entry.hides
    if hidden is not None:
        _remove(tree, below(hidden, base))
        return
    if entry.is_opaque:
        _empty(tree, below(entry.parent, base))
        return
    path = below(entry.path, base)
    if entry.kind is Kind.DIRECTORY:
        directories.append(entry)
        found = _look(tree, path)
        if found is None or not stat.S_ISDIR(found):
            _remove(tree, path)
            tree.make_directory(path)
        return
    if path:
        _remove(tree, path)
    match entry.kind:
        case Kind.HARD_LINK:
            tree.make_link(below(entry.link, base), path)
            return  # it has the attributes of the file that it is
        case Kind.SYMLINK:
            tree.make_symlink(path, entry.link)
        case Kind.FILE:
            tree.write(path, entry.size, _pieces(entry, archive))
        case _:
            tree.make_node(path, FORMATS[entry.kind], os.makedev(entry.major, entry.minor))
    _set_attributes(tree, path, entry)


def _set_attributes(tree: Tree, path: str, entry: Entry) -> None:
    tree.set_attributes(path, entry)
    if entry.kind in (Kind.FILE, Kind.DIRECTORY):
        wanted: dict[str, bytes | None] = dict.fromkeys(filter(saveable, tree.xattrs(path)))
        wanted.update(entry.xattrs)
        if wanted:
            tree.set_xattrs(path, wanted)


def _pieces(entry: Entry, archive: int) -> Iterator[tuple[int, bytes]]:
    for extent in entry.extents:
        for start in range(0, extent.length, _CHUNK):
            length = min(_CHUNK, extent.length - start)
            yield extent.offset + start, os.pread(archive, length, extent.at + start)


def _look(tree: Tree, path: str) -> int | None:
    try:
        return tree.lstat(path).st_mode
    except FileNotFoundError:
        return None


def _empty(tree: Tree, path: str) -> None:
    """Have nothing in a directory. One that is made anew is opaque in an overlay, which is less than a whiteout for each name."""
    for name in tree.names(path):
        _remove(tree, join(path, name))
    if path:
        tree.remove(path, directory=True)
        tree.make_directory(path)


def _remove(tree: Tree, path: str) -> None:
    """Remove what is there, with everything in it."""
    mode = _look(tree, path)
    if mode is None:
        return
    if not stat.S_ISDIR(mode):
        tree.remove(path, directory=False)
        return
    waiting = [(path, False)]
    while waiting:
        directory, emptied = waiting.pop()
        if emptied:
            tree.remove(directory, directory=True)
            continue
        waiting.append((directory, True))
        for name in tree.names(directory):
            inside = join(directory, name)
            if stat.S_ISDIR(tree.lstat(inside).st_mode):
                waiting.append((inside, False))
            else:
                tree.remove(inside, directory=False)
