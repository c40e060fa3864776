"""A machine made of values: what tests and the recordings in the repository are made from."""

from __future__ import annotations

import errno
import json
import os
import stat
from typing import Self

from devproxy.host.probe import probe_reader
from devproxy.host.recorded import Recorder, Recording
from devproxy.host.root import Entry


class Machine:
    """A `Reader` over paths that were given one by one; every other path is absent."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._contents: dict[str, bytes] = {}
        self._links: dict[str, str] = {}
        self._refused: dict[str, int] = {}
        self._facts: dict[str, bytes] = {}

    # making

    def directory(self, path: str, mode: int = 0o755) -> Self:
        """A directory, and those above it."""
        while path not in self._entries:
            self._entries[path] = Entry(stat.S_IFDIR | mode, 0, 0, 0)
            path = os.path.dirname(path)
        return self

    def file(self, path: str, text: str | bytes, mode: int = 0o444) -> Self:
        """A regular file."""
        self._put(path, Entry(stat.S_IFREG | mode, 0, 0, 0))
        self._contents[path] = text.encode() if isinstance(text, str) else text
        return self

    def link(self, path: str, target: str) -> Self:
        """A symbolic link."""
        self._put(path, Entry(stat.S_IFLNK | 0o777, 0, 0, 0))
        self._links[path] = target
        return self

    def node(
        self, path: str, number: tuple[int, int], mode: int = 0o666, gid: int = 0, kind: int = stat.S_IFCHR
    ) -> Self:
        """A device node."""
        self._put(path, Entry(kind | mode, 0, gid, os.makedev(*number)))
        return self

    def remove(self, *paths: str) -> Self:
        """Take away what is at these paths."""
        for path in paths:
            del self._entries[path]
            self._contents.pop(path, None)
            self._links.pop(path, None)
        return self

    def refuse(self, path: str, number: int = errno.EACCES) -> Self:
        """Make every read of what is at `path` fail; it is there all the same."""
        self.directory(os.path.dirname(path))
        self._entries.setdefault(path, Entry(stat.S_IFREG | 0o400, 0, 0, 0))
        self._refused[path] = number
        return self

    def fact(self, name: str, document: object) -> Self:
        """What a source that is no file says."""
        self._facts[name] = json.dumps(document, sort_keys=True).encode()
        return self

    def _put(self, path: str, entry: Entry) -> None:
        self.directory(os.path.dirname(path))
        self._entries[path] = entry

    # reading: the methods of a Reader

    def read_bytes(self, path: str, limit: int) -> bytes:
        if path not in self._contents and self._find(path):
            raise _error(errno.EINVAL, path)
        self._find(path, reading=True)
        if len(self._contents[path]) > limit:
            raise _error(errno.EFBIG, path)
        return self._contents[path]

    def listdir(self, path: str) -> list[str]:
        if not stat.S_ISDIR(self._find(path, reading=True).mode):
            raise _error(errno.ENOTDIR, path)
        return [os.path.basename(inner) for inner in self._entries if os.path.dirname(inner) == path and inner != "/"]

    def lstat(self, path: str) -> Entry:
        return self._find(path)

    def readlink(self, path: str) -> str:
        if not stat.S_ISLNK(self._find(path).mode):
            raise _error(errno.EINVAL, path)
        return self._links[path]

    def read_fact(self, name: str) -> bytes:
        if name not in self._facts:
            raise _error(errno.ENOENT, name)
        return self._facts[name]

    def _find(self, path: str, *, reading: bool = False) -> Entry:
        if path not in self._entries:
            raise _error(errno.ENOENT, path)
        if path in self._refused and (reading or stat.S_ISREG(self._entries[path].mode)):
            raise _error(self._refused[path], path)
        return self._entries[path]

    # giving it away

    def record(self) -> Recording:
        """What `devproxy record` would keep of this machine."""
        recorder = Recorder(self)
        probe_reader(recorder, name="live", simulated=False, deep=True)
        return recorder.recording()

    def write_to(self, directory: str) -> None:
        """Make the machine's files below a directory of the kernel, nodes included (which needs root)."""
        for path, entry in sorted(self._entries.items()):
            real = directory + path
            if stat.S_ISDIR(entry.mode):
                os.makedirs(real, exist_ok=True)
            elif stat.S_ISLNK(entry.mode):
                os.symlink(self._links[path], real)
            elif stat.S_ISREG(entry.mode):
                with open(real, "wb") as file:
                    file.write(self._contents[path])
            else:
                os.mknod(real, entry.mode, entry.rdev)
                os.chown(real, entry.uid, entry.gid)
            if not stat.S_ISLNK(entry.mode):
                os.chmod(real, stat.S_IMODE(entry.mode))


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
