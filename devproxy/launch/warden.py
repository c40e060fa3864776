"""Who ends the container's process when devproxy is killed.

The kernel would (prctl(2), PR_SET_PDEATHSIG), but forgets it when a process changes its user, as every service does that starts
as root and goes on as somebody else, and when it executes a set-user-ID program or asks for it.
"""

from __future__ import annotations

import os

from devproxy.linux.paths import LAST_DESCRIPTOR, above_stdio, close_range
from devproxy.linux.process import block_signals, send_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from types import TracebackType
    from typing import Final, NoReturn
else:
    import _signal as signal

SIGKILL: Final = 9


class Warden:
    """A context in which the process of a descriptor is killed when this process dies.

    It is a child that waits for the end of a pipe whose other end is here alone: in a session of its own, so that what is sent
    to devproxy's process group does not reach it, with every signal blocked and no other descriptor open.
    """

    def __init__(self, pidfd: int) -> None:
        self._pidfd = pidfd
        self._writer = -1
        self._child = -1

    def __enter__(self) -> None:
        reader, self._writer = (above_stdio(end) for end in os.pipe())
        mask = block_signals()
        try:
            self._child = os.fork()
            if self._child == 0:
                _watch(reader, self._pidfd)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(reader)
            if self._child < 0:
                os.close(self._writer)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.kill(self._child, SIGKILL)  # sooner done than waking it up
        os.close(self._writer)
        os.waitpid(self._child, 0)


def _watch(reader: int, pidfd: int) -> NoReturn:
    try:
        os.setsid()
        low, high = sorted((reader, pidfd))
        for first, last in ((0, low - 1), (low + 1, high - 1), (high + 1, LAST_DESCRIPTOR)):
            if first <= last:
                close_range(first, last)
        os.read(reader, 1)
        send_signal(pidfd, SIGKILL)
    finally:
        os._exit(0)
