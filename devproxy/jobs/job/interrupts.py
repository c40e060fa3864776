"""Signals that reach a job: kept until somebody asks, so that no phase ends half-way that must not."""

from __future__ import annotations

import os

from devproxy.launch.signals import Handling

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from types import TracebackType
    from typing import Final, Self
else:
    import _signal as signal  # the enumerations around it are not needed

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_PASSED: Final = (signal.SIGUSR1, signal.SIGUSR2)


class Interrupted(KeyboardInterrupt):
    """An ending signal came while nothing was to be kept or cleaned yet."""

    def __init__(self, number: int) -> None:
        super().__init__("interrupted before a device was had")
        self.number = number


class Interrupts:
    """A context in which the signals that end a process are kept: `fileno` is readable when there are some. `first` is the number of
    the first, `ending` how many came. Until `keep` is called they raise Interrupted. What this process ignores (nohup(1)) stays
    ignored. Outside of the main thread none can be had (the signal module).
    """

    def __init__(self) -> None:
        self.first = 0
        self.ending = 0
        self._kept = False
        self._reader, self._writer = os.pipe()
        for descriptor in (self._reader, self._writer):
            os.set_blocking(descriptor, False)
        heard = [number for number in (*ENDING, *_PASSED) if signal.getsignal(number) != signal.SIG_IGN]
        self._handling = Handling(heard, self._handle)

    def keep(self) -> None:
        """From now on signals wait to be asked for."""
        self._kept = True

    def fileno(self) -> int:
        """For poll(2)."""
        return self._reader

    def take(self) -> list[int]:
        """Those that came since the last time, in order."""
        try:
            return list(os.read(self._reader, 4096))
        except BlockingIOError:
            return []

    def _handle(self, number: int) -> None:
        if number in ENDING:
            self.first = self.first or number
            self.ending += 1
            if not self._kept:
                raise Interrupted(number)
        try:
            os.write(self._writer, bytes((number,)))
        except BlockingIOError:
            return  # thousands wait already

    def __enter__(self) -> Self:
        self._handling.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._handling.__exit__(kind, error, traceback)
        os.close(self._reader)
        os.close(self._writer)
