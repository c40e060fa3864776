"""The one way in which a machine is read: four verbs on its files, and a document for each source that is no file.

`Reader` is the seam: a live machine answers through a directory descriptor (`LiveReader`), a recording from what it
kept (`host.recording`), and a recorder stands between to keep what passes. `HostRoot` is what a probe is given: absent
is an answer, everything else that keeps it from seeing is noted as `Unseen`, never taken for absent.
"""

from __future__ import annotations

import errno
import os
import stat

from devproxy.host.facts import Unseen
from devproxy.json_text import loads
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Final, Protocol, Self
else:
    Protocol = object

# Far above every file that a probe reads; a file that is larger is not what it is taken for.
FILE_LIMIT: Final = 1 << 20

ABSENT: Final = frozenset((errno.ENOENT, errno.ENOTDIR))

_READ_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC


class Entry(Record):
    """What lstat(2) says of a path, as far as a recording can keep it. `mode` includes the type."""

    mode: int
    uid: int
    gid: int
    rdev: int


class Reader(Protocol):
    """Where a machine's files are read. Paths are absolute; no final link is followed, and no device is ever opened.

    Errors: OSError, with the errno of the system call that a live machine would have made.
    """

    def read_bytes(self, path: str, limit: int) -> bytes:
        """A regular file, whole.

        Errors: EFBIG if it is larger than `limit`, EINVAL if it is no regular file.
        """

    def listdir(self, path: str) -> list[str]:
        """The names in a directory, in any order."""

    def lstat(self, path: str) -> Entry:
        """What is at a path."""

    def readlink(self, path: str) -> str:
        """The target of a symbolic link.

        Errors: EINVAL if it is none.
        """

    def read_fact(self, name: str) -> bytes:
        """What a source that is no file says, as a JSON object (`uname`, `limits`)."""


class LiveReader:
    """The running machine, from the directory `root` down. A context manager.

    Links on the way are the kernel's to follow, so `root` is `/` or a tree that is trusted as much. Only with `opens` are
    accelerators opened, for the fact of that name.
    """

    def __init__(self, root: str = "/", *, opens: bool = False) -> None:
        self._opens = opens
        self._root = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def read_bytes(self, path: str, limit: int) -> bytes:
        """See `Reader`. It is looked at before it is opened: opening a device may do something, looking never does."""
        name = _relative(path)
        if not stat.S_ISREG(os.stat(name, dir_fd=self._root, follow_symlinks=False).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
        fd = os.open(name, _READ_FLAGS, dir_fd=self._root)
        try:
            return _read_all(fd, limit, path)
        except OSError as error:
            if error.errno in (errno.ENODEV, errno.ESRCH):
                # An attribute of a device, or a file of a process, that went away after it was opened.
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
            raise
        finally:
            os.close(fd)

    def listdir(self, path: str) -> list[str]:
        """See `Reader`."""
        fd = os.open(_relative(path), _READ_FLAGS | os.O_DIRECTORY, dir_fd=self._root)
        try:
            return os.listdir(fd)
        finally:
            os.close(fd)

    def lstat(self, path: str) -> Entry:
        """See `Reader`."""
        found = os.stat(_relative(path), dir_fd=self._root, follow_symlinks=False)
        return Entry(found.st_mode, found.st_uid, found.st_gid, found.st_rdev)

    def readlink(self, path: str) -> str:
        """See `Reader`."""
        return os.readlink(_relative(path), dir_fd=self._root)

    def read_fact(self, name: str) -> bytes:
        """See `Reader`."""
        from devproxy.host.live_facts import read_live_fact

        if name == "opens" and not self._opens:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return read_live_fact(name)

    def close(self) -> None:
        """Let the directory go."""
        os.close(self._root)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class HostRoot:
    """A machine as a probe sees it: what is absent is None or empty, what cannot be seen is that too, and is noted."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._unseen: dict[Unseen, None] = {}

    @property
    def unseen(self) -> tuple[Unseen, ...]:
        """What could not be seen so far, in the order in which it was looked for; each once."""
        return tuple(self._unseen)

    def note(self, path: str, why: str) -> None:
        """Say that something at `path` could not be seen or understood."""
        self._unseen[Unseen(path, why)] = None

    def read_text(self, path: str, limit: int = FILE_LIMIT) -> str | None:
        """A regular file's text, or None. Bytes that are no UTF-8 are shown escaped."""
        try:
            return self._reader.read_bytes(path, limit).decode("utf-8", "backslashreplace")
        except OSError as error:
            self._note_error(path, error)
            return None

    def listdir(self, path: str) -> list[str]:
        """The names in a directory, sorted."""
        try:
            return sorted(self._reader.listdir(path))
        except OSError as error:
            self._note_error(path, error)
            return []

    def lstat(self, path: str) -> Entry | None:
        """What is at a path, or None."""
        try:
            return self._reader.lstat(path)
        except OSError as error:
            self._note_error(path, error)
            return None

    def follow(self, path: str) -> str:
        """Where the link at `path` leads, by its words alone; `path` itself if it is no link."""
        try:
            target = self._reader.readlink(path)
        except OSError as error:
            if error.errno != errno.EINVAL:
                self._note_error(path, error)
            return path
        return os.path.normpath(os.path.join(os.path.dirname(path), target))

    def read_fact(self, name: str) -> dict[str, object]:
        """What a source that is no file says; empty when it says nothing."""
        where = fact_path(name)
        try:
            document = loads(self._reader.read_fact(name).decode())
        except OSError as error:
            self._note_error(where, error)
            return {}
        except (ValueError, RecursionError) as error:
            self.note(where, f"no JSON: {error}")
            return {}
        if not isinstance(document, dict):
            self.note(where, "no JSON object")
            return {}
        return document

    def _note_error(self, path: str, error: OSError) -> None:
        if error.errno not in ABSENT:
            self.note(path, f"{errno.errorcode.get(error.errno or 0, 'error')}: {error.strerror}")


def fact_path(name: str) -> str:
    """What a source that is no file is called in a recording, and in every fact that it gave."""
    return f"facts/{name}.json"


def _relative(path: str) -> str:
    return path.lstrip("/") or "."


def _read_all(fd: int, limit: int, path: str) -> bytes:
    # Files of proc and sysfs say size 0 and hand out a page or less at a time: only an empty read is the end.
    parts = []
    left = limit + 1
    while left and (part := os.read(fd, left)):
        parts.append(part)
        left -= len(part)
    if not left:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
    return b"".join(parts)
