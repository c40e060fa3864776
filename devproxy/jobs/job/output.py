"""What the command writes to a stream: passed on as it is, at once, and kept, up to a size."""

from __future__ import annotations

import fcntl
import os
import sys
import termios
from collections import deque

from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.jobs.job.artifacts import Artifacts

LIMIT: Final = 64 << 20
"""Bytes of a stream that are kept: the first half, and of the rest the last ones."""
_PIECE: Final = 64 << 10
# What a pipe that is ready for writing takes without making its writer wait (pipe(7), PIPE_BUF).
_WRITE: Final = 4096
_TAIL: Final = 64 << 10


class Written(Record):
    """What a stream came to: bytes in all, bytes in between that were not kept, the last ones, the names of its files."""

    size: int
    lost: int
    tail: bytes
    files: tuple[str, ...]


class Log:
    """A stream's files: `NAME.log` with the first half of `limit`, then `NAME.last.log`, which becomes `NAME.previous.log` when it has a
    quarter. Each is whole lines of bytes as they came, at any moment.
    """

    def __init__(self, artifacts: Artifacts | None, name: str, limit: int = LIMIT) -> None:
        self._artifacts = artifacts
        self._name = name
        self._first, self._each = limit // 2, limit // 4
        self._file = artifacts.append_to(f"{name}.log") if artifacts else None
        self._room = self._first
        self._previous = 0
        self._written = 0
        self._beyond = False
        self.problem = ""
        self.files = [f"{name}.log"] if artifacts else []
        self.lost = 0

    def write(self, data: bytes) -> None:
        """Keep it. A full disk keeps nobody's command from going on: `problem` says so."""
        while data and self._file is not None:
            if not self._room:
                self._next()
            piece = data[: self._room]
            try:
                written = os.write(self._file, piece)
            except OSError as error:
                self.problem = f"{self.files[-1]}: {(error.strerror or '').lower()}"
                self.close()
                return
            self._room -= written
            data = data[written:]

    def _next(self) -> None:
        assert self._artifacts is not None
        assert self._file is not None
        os.close(self._file)
        last, previous = f"{self._name}.last.log", f"{self._name}.previous.log"
        if self._beyond:
            self.lost += self._previous
            self._previous = self._each
            self._artifacts.replace(last, previous)
            if previous not in self.files:
                self.files.append(previous)
        else:
            self._beyond = True
            self.files.append(last)
        self._file = self._artifacts.append_to(last)
        self._room = self._each

    def close(self) -> None:
        """No more is kept."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class Stream:
    """One standard stream of the command: a pipe's end to read, the descriptor to pass it on to (None: nowhere), its log."""

    def __init__(self, reader: int, onward: int | None, log: Log) -> None:
        os.set_blocking(reader, False)
        self.reader = reader
        self.onward = onward
        self._log = log
        self._pending = memoryview(b"")
        self._tail: deque[bytes] = deque(maxlen=_TAIL // 1024)
        self._size = 0
        self.open = True
        self.ends_line = True

    @property
    def waits(self) -> bool:
        """Whether something is still to be passed on."""
        return bool(self._pending)

    def unread(self) -> int:
        """How many bytes are there now."""
        return int.from_bytes(fcntl.ioctl(self.reader, termios.FIONREAD, bytes(4)), sys.byteorder)

    def read(self, most: int = _PIECE) -> int:
        """Take what is there: how many bytes that was."""
        try:
            data = os.read(self.reader, min(most, _PIECE))
        except BlockingIOError:
            return 0
        if not data:
            self.open = False
            return 0
        self._size += len(data)
        self._log.write(data)
        for at in range(max(0, len(data) - _TAIL), len(data), 1024):
            self._tail.append(data[at : at + 1024])
        if self.onward is not None:
            self._pending = memoryview(data)
        return len(data)

    def pass_on(self) -> None:
        """Write what `onward` takes now. When nobody reads there any more the command goes on, and its log."""
        assert self.onward is not None
        piece = self._pending[:_WRITE]
        try:
            written = os.write(self.onward, piece)
        except BlockingIOError:
            return
        except OSError:
            self.onward, self._pending = None, memoryview(b"")
            return
        self.ends_line = bytes(piece[written - 1 : written]) == b"\n"
        self._pending = self._pending[written:]

    def written(self) -> Written:
        """What came of it so far."""
        return Written(self._size, self._log.lost, b"".join(self._tail)[-_TAIL:], tuple(self._log.files))

    def close(self) -> None:
        """Read no more, keep no more."""
        os.close(self.reader)
        self._log.close()
