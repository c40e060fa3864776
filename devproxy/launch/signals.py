"""Signals that devproxy gets while a process runs in its root are that process's."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Final

from devproxy.linux.process import send_signal

FORWARDED: Final = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGCONT,
    signal.SIGTSTP,
    signal.SIGWINCH,
)


class Forwarding:
    """A context in which signals are forwarded to the process of a descriptor.

    Only the main thread can handle signals (the signal module); in another one this does nothing.
    """

    def __init__(self, pidfd: int) -> None:
        self._pidfd = pidfd
        self._before: list[tuple[signal.Signals, Any]] = []

    def __enter__(self) -> None:
        try:
            for number in FORWARDED:
                self._before.append((number, signal.signal(number, self._forward)))
        except ValueError:
            return  # not the main thread: the first one already fails

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        try:
            send_signal(self._pidfd, number)
        except ProcessLookupError:
            return  # it has ended; its exit code is about to be told

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)
