"""A machine that was recorded: what the probe read there, kept, and served to the same probe here.

Every path that the probe asked for is in one of three places: it was read (`files`), it was absent, or it could not be
seen and why (`unread`). A path that is in none of them was never asked for, by the older devproxy that recorded it
perhaps: then nothing is known about it, which is neither absent nor fine.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager

from devproxy.host.root import ABSENT, Entry, Reader, fact_path
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final


class Kept(Record):
    """One path that was read: a regular file with its contents, a link with its target, a node, a directory that was
    listed.
    """

    entry: Entry
    data: bytes = b""
    link: str = ""


class Recording(Record):
    """What a recorder kept. Paths are absolute; `facts` are JSON documents by name; `unread` gives an errno's name;
    `looked` are paths that were looked at and not read (a socket, a directory that was not listed), and `others` the
    names in a listed directory that were not even looked at. `notes` tell what of the file was not understood, by its place
    in it: a newer devproxy wrote it.
    """

    files: dict[str, Kept]
    facts: dict[str, bytes]
    absent: frozenset[str]
    unread: dict[str, str]
    looked: dict[str, Entry]
    others: dict[str, list[str]]
    notes: tuple[tuple[str, str], ...] = ()


class Recorder:
    """A reader that keeps what another one answers. A `Reader` itself, so that recording is probing."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._files: dict[str, Kept] = {}
        self._facts: dict[str, bytes] = {}
        self._absent: set[str] = set()
        self._unread: dict[str, str] = {}
        self._looked: dict[str, Entry] = {}
        self._listings: dict[str, list[str]] = {}

    def recording(self) -> Recording:
        """What was kept. What came or went meanwhile is as it was when it was there."""
        looked = {path: entry for path, entry in self._looked.items() if path not in self._files}
        unread = {path: why for path, why in self._unread.items() if path not in self._files}
        absent = self._absent - self._files.keys() - looked.keys()
        known = _children([*self._files, *unread, *looked])
        others = {path: sorted({*names} - known.get(path, set())) for path, names in self._listings.items()}
        others = {path: names for path, names in others.items() if names}
        return Recording(dict(self._files), dict(self._facts), frozenset(absent), unread, looked, others)

    def read_bytes(self, path: str, limit: int) -> bytes:
        """See `Reader`."""
        with self._failures_of(path):
            data = self._reader.read_bytes(path, limit)
            self._files[path] = Kept(self._reader.lstat(path), data=data)
            return data

    def listdir(self, path: str) -> list[str]:
        """See `Reader`."""
        with self._failures_of(path):
            names = self._reader.listdir(path)
            self._files[path] = Kept(self._reader.lstat(path))
            self._listings[path] = names
            return names

    def lstat(self, path: str) -> Entry:
        """See `Reader`. Looking is all there is to nodes and links: they are kept whole."""
        with self._failures_of(path):
            entry = self._reader.lstat(path)
            if stat.S_ISCHR(entry.mode) or stat.S_ISBLK(entry.mode):
                self._files[path] = Kept(entry)
            elif stat.S_ISLNK(entry.mode):
                self._files[path] = Kept(entry, link=self._reader.readlink(path))
            else:
                self._looked[path] = entry
            return entry

    def readlink(self, path: str) -> str:
        """See `Reader`."""
        with self._failures_of(path):
            target = self._reader.readlink(path)
            self._files[path] = Kept(self._reader.lstat(path), link=target)
            return target

    def read_fact(self, name: str) -> bytes:
        """See `Reader`."""
        with self._failures_of(fact_path(name)):
            self._facts[name] = self._reader.read_fact(name)
            return self._facts[name]

    @contextmanager
    def _failures_of(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in ABSENT:
                self._absent.add(path)
            else:
                self._unread[path] = errno.errorcode.get(error.errno or 0, "EIO")
            raise


_NOT_RECORDED: Final = "the recording does not say"


class RecordedReader:
    """Answers as the recorded machine did (a `Reader`)."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._children = _children([*recording.files, *recording.unread, *recording.looked])

    def read_bytes(self, path: str, limit: int) -> bytes:
        """See `Reader`."""
        kept = self._find(path)
        if not stat.S_ISREG(kept.entry.mode):
            raise _error(errno.EINVAL, path)
        if len(kept.data) > limit:
            raise _error(errno.EFBIG, path)
        return kept.data

    def listdir(self, path: str) -> list[str]:
        """See `Reader`."""
        if not stat.S_ISDIR(self._find(path).entry.mode):
            raise _error(errno.ENOTDIR, path)
        return sorted(self._children.get(path, set()).union(self._recording.others.get(path, ())))

    def lstat(self, path: str) -> Entry:
        """See `Reader`."""
        return self._recording.looked.get(path) or self._find(path).entry

    def readlink(self, path: str) -> str:
        """See `Reader`."""
        if path in self._children:
            raise _error(errno.EINVAL, path)
        kept = self._find(path)
        if not stat.S_ISLNK(kept.entry.mode):
            raise _error(errno.EINVAL, path)
        return kept.link

    def read_fact(self, name: str) -> bytes:
        """See `Reader`."""
        document = self._recording.facts.get(name)
        if document is None:
            raise self._missing(fact_path(name))
        return document

    def _find(self, path: str) -> Kept:
        kept = self._recording.files.get(path)
        if kept is None:
            raise self._missing(path)
        return kept

    def _missing(self, path: str) -> OSError:
        if path in self._recording.unread:
            return _error(getattr(errno, self._recording.unread[path]), path)
        if any(parent in self._recording.absent for parent in (path, *parents(path))):
            return _error(errno.ENOENT, path)
        return OSError(errno.ENODATA, _NOT_RECORDED, path)


def parents(path: str) -> Iterator[str]:
    """The directories above an absolute path, nearest first, without the root."""
    while path := path.rpartition("/")[0]:
        yield path


def _children(paths: list[str]) -> dict[str, set[str]]:
    children: dict[str, set[str]] = {}
    for path in paths:
        for inner in (path, *parents(path)):
            parent, _, name = inner.rpartition("/")
            children.setdefault(parent, set()).add(name)
    return children


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
