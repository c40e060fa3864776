"""Ending processes: asked first, killed when they do not listen, and those too that they start meanwhile.

Who is asked (SIGTERM) may end well and take its time. Who is still there after that is stopped (SIGSTOP, which nobody can refuse)
before it is killed: a stopped process makes no others, and one more look finds those that it made before.
"""

from __future__ import annotations

import time

from devproxy.jobs.clean.process import Identity, Seen, is_alive, send
from devproxy.jobs.clean.proof import Proven
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from typing import Final
else:
    import _signal as signal

_EVERY: Final = 0.02
# Looks at all processes, each of which finds new ones of the lease: more than that is a fight that nobody wins.
_ROUNDS: Final = 50
# A process that makes another and ends, again and again, may be between two processes when somebody looks: so many looks in a row have
# to find nobody new.
_QUIET: Final = 3
_DYING: Final = 2.0


class Ended(Record):
    """Who was ended, and who not, with the reason."""

    ended: tuple[Proven, ...]
    left: tuple[tuple[Proven, str], ...]


class Ending:
    """Ends the processes that `look` finds, until it finds none. `look` answers anew at each call."""

    def __init__(self, look: Callable[[], tuple[Proven, ...]], grace: float) -> None:
        self._look = look
        self._grace = grace
        self._met: dict[Identity, Proven] = {}
        self._refused: dict[Identity, str] = {}

    def run(self) -> Ended:
        """Ask, wait, stop, kill."""
        self._ask()
        killed: set[Identity] = set()
        for _ in range(_ROUNDS):
            stopped = self._stop()
            if killed.issuperset(each.seen.identity for each in stopped):
                break  # none, or none but those that cannot die
            self._signal_all(stopped, signal.SIGKILL)
            self._wait(stopped, _DYING)
            killed |= {each.seen.identity for each in stopped}
        left = {identity: why for identity in self._met if (why := self._why_left(identity))}
        return Ended(
            tuple(proven for identity, proven in self._met.items() if identity not in left),
            tuple((self._met[identity], why) for identity, why in left.items()),
        )

    def _ask(self) -> None:
        """SIGTERM, once each, to whoever is found until the time is over. One that is stopped is woken to hear it."""
        until = time.monotonic() + self._grace
        while found := self._find():
            new = [each for each in found if each.seen.identity not in self._met]
            self._signal_all(new, signal.SIGTERM)
            self._signal_all([each for each in new if each.seen.state in "Tt"], signal.SIGCONT)
            left = until - time.monotonic()
            if left <= 0:
                return
            self._wait(found, min(left, max(_EVERY, self._grace / 10)))

    def _stop(self) -> list[Proven]:
        """Stop all that are found, until no look finds another; those that can be killed then."""
        stopped: dict[Identity, Proven] = {}
        quiet = 0
        for _ in range(_ROUNDS):
            new = [each for each in self._find() if each.seen.identity not in stopped]
            quiet = 0 if new else quiet + 1
            if quiet == _QUIET:
                break
            self._signal_all(new, signal.SIGSTOP)
            stopped |= {each.seen.identity: each for each in new}
        return list(stopped.values())

    def _find(self) -> list[Proven]:
        """Those that are there and can be signalled."""
        return [each for each in self._look() if each.seen.identity not in self._refused]

    def _signal_all(self, which: list[Proven], number: int) -> None:
        for each in which:
            identity = each.seen.identity
            self._met.setdefault(identity, each)
            try:
                send(identity, number)
            except PermissionError:
                self._refused[identity] = f"it is {_owner(each.seen)}'s: only root may end it"

    def _wait(self, which: list[Proven], seconds: float) -> None:
        """Until all have ended, or the time is over."""
        until = time.monotonic() + seconds
        waiting = [each.seen.identity for each in which]
        while waiting and time.monotonic() < until:
            waiting = [identity for identity in waiting if is_alive(identity)]
            if waiting:
                time.sleep(_EVERY)

    def _why_left(self, identity: Identity) -> str:
        if not is_alive(identity):
            return ""
        return self._refused.get(identity, "it was killed and does not end: a call into a driver that does not return")


def _owner(seen: Seen) -> str:
    return f"uid {seen.uids[0]}"
