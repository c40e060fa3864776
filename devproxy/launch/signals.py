"""Signals that devproxy gets while a process runs in its root are that process's."""

from __future__ import annotations

from devproxy.linux.process import send_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Sequence
    from types import FrameType, TracebackType
    from typing import Any, Final
else:
    import _signal as signal  # the enumerations around it take longer to load than a root to build

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


_ENDING: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


class Handling:
    """A context in which `handler` is called for some signals.

    Only the main thread can handle signals (the signal module); in another one this does nothing.
    """

    def __init__(self, numbers: Sequence[signal.Signals], handler: Callable[[int], None]) -> None:
        self._numbers = numbers
        self._handler = handler
        self._before: list[tuple[signal.Signals, Any]] = []

    def __enter__(self) -> None:
        try:
            for number in self._numbers:
                self._before.append((number, signal.signal(number, self._handle)))
        except ValueError:
            return  # not the main thread: the first one already fails

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._handler(number)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)


class Forwarding(Handling):
    """A context in which signals are forwarded to the process of a descriptor, whose number is `pid` here.

    Until it has been started (`starting` is cleared then) the ones that end a process end the builder: as the first of its pid
    namespace it would not hear of them, and what it waits for, a file system whose server is silent, may never come. Of the
    process the kernel keeps them as well, unless it handles them (pid_namespaces(7)): it is ended by them like any other.
    """

    def __init__(self, pidfd: int, pid: int, is_running: Callable[[], bool]) -> None:
        super().__init__(FORWARDED, self._forward)
        self._pidfd = pidfd
        self._pid = pid
        self._is_running = is_running
        self.starting = True
        self.ended_by = 0

    def _forward(self, number: int) -> None:
        is_building = self.starting and not self._is_running()
        if number in _ENDING and (is_building or _would_be_dropped(self._pid, number)):
            self.ended_by, number = number, signal.SIGKILL
        try:
            send_signal(self._pidfd, number)
        except ProcessLookupError:
            return  # it has ended; its exit code is about to be told

    def code(self, code: int) -> int:
        """The exit code of a process that ended with `code`: of one that was killed in place of a signal, that signal's."""
        return 128 + self.ended_by if self.ended_by and code == 128 + signal.SIGKILL else code


def _would_be_dropped(pid: int, number: int) -> bool:
    """Whether a process is the first of its pid namespace and leaves a signal to its default action, which the kernel does not
    carry out there: it neither handles it, nor ignores it, nor has it blocked, as who waits for it has (sigwait(3)). False of what
    cannot be seen.
    """
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            lines = dict(line.split(":", 1) for line in file if ":" in line)
        numbers = lines["NSpid"].split()  # from here inwards (proc_pid_status(5))
        if len(numbers) < 2 or numbers[-1] != "1":
            return False
        return not any(int(lines[name], 16) >> (number - 1) & 1 for name in ("SigBlk", "SigIgn", "SigCgt"))
    except (OSError, KeyError, ValueError):
        return False
