"""The command of a job, from its start to its end: its output, its time, the signals for it."""

from __future__ import annotations

import os
import select
import signal
import time

from devproxy.choice import Choice
from devproxy.jobs.job.guard import EXITED, KILLED, REFUSED, RUNS, Guard, Start
from devproxy.jobs.job.interrupts import ENDING, Interrupts
from devproxy.jobs.job.output import Stream, Written
from devproxy.jobs.program import why_not
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

# A process that was killed and does not die waits in the kernel: for a driver, mostly.
_DYING: Final = 30.0
# How long what the command wrote last may take to be passed on to a reader who does not read.
_DRAINING: Final = 5.0


class How(Choice):
    """How the command ended."""

    EXITED = "exited"
    KILLED = "killed by a signal"
    TIMED_OUT = "ended by --timeout"
    NOT_STARTED = "not started"
    STUCK = "cannot be killed"
    LOST = "lost with its guard"


class Ended(Record):
    """The command's end. `code` is its exit code, `signal` what ended it, `errno` why it could not be executed (0: it could);
    `interrupted` is the signal that devproxy got and passed on, 0 for none. `began` is in seconds since the epoch.
    """

    how: How
    began: float
    seconds: float
    code: int | None = None
    signal: int = 0
    errno: int = 0
    pid: int = 0
    interrupted: int = 0
    out: Written = Written(0, 0, b"", ())
    err: Written = Written(0, 0, b"", ())

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.how is How.EXITED and self.code == 0

    def describe(self) -> str:
        """`exit code 7`, `killed by SIGSEGV`, `did not end within its time`."""
        match self.how:
            case How.EXITED:
                told = "succeeded" if self.code == 0 else f"exit code {self.code}"
            case How.KILLED:
                told = f"killed by {_name(self.signal)}"
            case How.TIMED_OUT:
                told = f"ended by --timeout after {self.seconds:.0f} s"
            case How.NOT_STARTED:
                told = f"could not be executed: {os.strerror(self.errno).lower()}"
            case How.STUCK:
                told = "cannot be killed: it waits in the kernel"
            case How.LOST:
                told = "killed together with its guard, by somebody else"
        return f"{told}, after {_name(self.interrupted)} to devproxy" if self.interrupted else told


class Limits(Record):
    """When it is ended: after `timeout` seconds (None: never) it is asked to (SIGTERM), `grace` seconds after that, or after a signal
    that was passed on, it is killed.
    """

    timeout: float | None
    grace: float


class Running:
    """The command while it runs. `streams` are its standard output and error."""

    def __init__(self, start: Start, streams: Sequence[Stream], limits: Limits, interrupts: Interrupts) -> None:
        self.began = time.time()
        self._program = start.argv[0]
        self._since = time.monotonic()
        self.guard = Guard(start)
        self._streams = streams
        self._limits = limits
        self._interrupts = interrupts
        self._ask_at = None if limits.timeout is None else self._since + limits.timeout
        self._kill_at: float | None = None
        self._give_up_at: float | None = None
        self._timed_out = False
        self._pid = 0

    def wait(self, started: Callable[[int], None] = lambda _: None) -> Ended:
        """Pass on what it writes and what is sent to it, until it has ended. `started` is told its pid."""
        while True:
            ready = self._poll()
            self._pump(ready)
            for number in self._interrupts.take() if self._interrupts.fileno() in ready else ():
                self._send(number)
            self._check_times()
            if self._give_up_at is not None and time.monotonic() >= self._give_up_at:
                return self._ended(How.STUCK)
            if self.guard.fileno() not in ready:
                continue
            ended = self._heard(self.guard.read(), started)
            if ended is not None:
                return ended

    def _heard(self, said: tuple[int, int] | None, started: Callable[[int], None]) -> Ended | None:
        what, number = (0, 0) if said is None else said
        if what == RUNS:
            self._pid = number
            started(number)
            return None
        self.drain(_DRAINING)
        if what == REFUSED:
            return self._ended(How.NOT_STARTED)._replace(errno=why_not(self._program, number))
        if self._timed_out and what in (EXITED, KILLED):
            return self._ended(How.TIMED_OUT)
        if what == EXITED:
            return self._ended(How.EXITED)._replace(code=number)
        if what == KILLED:
            return self._ended(How.KILLED)._replace(signal=number)
        return self._ended(How.LOST)

    def _ended(self, how: How) -> Ended:
        seconds = time.monotonic() - self._since
        return Ended(how, self.began, seconds, pid=self._pid, interrupted=self._interrupts.first)

    def _poll(self) -> set[int]:
        """The descriptors that something can be done with. Nothing is read that cannot be passed on yet."""
        poll = select.poll()
        poll.register(self.guard, select.POLLIN)
        poll.register(self._interrupts, select.POLLIN)
        for stream in self._streams:
            if stream.waits and stream.onward is not None:
                poll.register(stream.onward, select.POLLOUT)
            elif stream.open:
                poll.register(stream.reader, select.POLLIN)
        times = [at for at in (self._ask_at, self._kill_at, self._give_up_at) if at is not None]
        left = max(min(times) - time.monotonic(), 0) * 1000 + 1 if times else None
        return {descriptor for descriptor, _ in poll.poll(left)}

    def _pump(self, ready: set[int]) -> None:
        for stream in self._streams:
            if stream.waits and stream.onward in ready:
                stream.pass_on()
            elif stream.reader in ready:
                stream.read()

    def drain(self, seconds: float) -> None:
        """Pass on what is there and no more: who has the pipe still may write for ever."""
        until = time.monotonic() + seconds
        for stream in self._streams:
            left = stream.unread()
            while (left or stream.waits) and time.monotonic() < until:
                if not stream.waits:
                    left -= stream.read(left) or left
                if stream.waits and stream.onward is not None and _is_writable(stream.onward, until):
                    stream.pass_on()

    def _send(self, number: int) -> None:
        """The first signal that ends is passed on, the second kills."""
        if number not in ENDING:
            self.guard.signal(number)
        elif self._interrupts.ending > 1:
            self._kill()
        else:
            self.guard.signal(number)
            self._kill_at = self._kill_at or time.monotonic() + self._limits.grace

    def _check_times(self) -> None:
        now = time.monotonic()
        if self._ask_at is not None and now >= self._ask_at:
            self._ask_at, self._timed_out = None, True
            self.guard.signal(signal.SIGTERM)
            self.guard.signal(signal.SIGCONT)  # one that was stopped hears of it too
            self._kill_at = self._kill_at or now + self._limits.grace
        if self._kill_at is not None and now >= self._kill_at and self._give_up_at is None:
            self._kill()

    def _kill(self) -> None:
        self.guard.signal(signal.SIGKILL)
        self._ask_at = self._kill_at = None
        self._give_up_at = self._give_up_at or time.monotonic() + _DYING


def _is_writable(descriptor: int, until: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(max(until - time.monotonic(), 0) * 1000))


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
