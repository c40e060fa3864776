"""Work that may hang, done in a child process that can be left behind: a call into a driver cannot be cancelled.

What the child finds comes back line by line, so that what was found before it hung is not lost.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterable, Iterator
    from typing import Final
else:
    import _signal as signal

_MOST_BYTES: Final = 1 << 24


class TooLate(Exception):
    """The child did not say anything for too long, or said too much; it was killed."""


def lines_within(seconds: float, work: Callable[[], Iterable[str]]) -> Iterator[str]:
    """What `work` yields in a child process, one line each; without newlines inside. The time is for each line.

    Raises:
        TooLate: the next line, or the end, did not come in time.
        ChildProcessError: the child ended before it was done.
    """
    read, write = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if not child:
        _work(work, write)
    os.close(write)
    try:
        yield from _lines(read, seconds)
    finally:
        os.close(read)
        _end(child)


def _work(work: Callable[[], Iterable[str]], write: int) -> None:
    """In the child: never returns, runs nobody's exit handlers and flushes nobody's buffers."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        for line in work():
            _write(write, line.encode() + b"\n")
        _write(write, b"\n")
    finally:
        os._exit(0)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _lines(read: int, seconds: float) -> Iterator[str]:
    """Lines until the empty one, which says that the work was done."""
    buffer, total = b"", 0
    while True:
        line, newline, rest = buffer.partition(b"\n")
        if newline:
            buffer = rest
            if not line:
                return
            yield line.decode()
            continue
        part = _read(read, seconds)
        buffer += part
        total += len(part)
        if total > _MOST_BYTES:
            raise TooLate(f"said more than {_MOST_BYTES} bytes")


def _read(read: int, seconds: float) -> bytes:
    from select import POLLIN, poll

    waiting = poll()
    waiting.register(read, POLLIN)
    if not waiting.poll(seconds * 1000):
        raise TooLate(f"did not answer within {seconds:g} s")
    part = os.read(read, 1 << 16)
    if not part:
        raise ChildProcessError("ended before it was done")
    return part


def _end(child: int) -> None:
    """End the child. One that hangs in a driver dies when the driver lets it: it is not waited for longer than a second."""
    os.kill(child, signal.SIGKILL)
    for _ in range(100):
        if os.waitpid(child, os.WNOHANG)[0]:
            return
        time.sleep(0.01)
