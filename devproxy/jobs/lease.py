"""Leasing: N accelerators for one command, nobody else's meanwhile; whoever asked first is served first."""

from __future__ import annotations

import fcntl
import os
import time

from devproxy.errors import DevproxyError
from devproxy.jobs.claims import Claim, Own, Watched, living
from devproxy.jobs.devices import Device, Wanted, candidates, groups
from devproxy.jobs.scope import Scope
from devproxy.jobs.state import State
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

# How often who waits looks again, in seconds: one system call, and far below the 100 ms within which a device is to be had again.
_FIRST_EVERY: Final = 0.004
_OTHERS_EVERY: Final = 0.02
# How long somebody who does not wait lets those who came before look for theirs, in seconds: at NVML, too. They may leave enough.
_LOOK: Final = 10.0


class Waiting(Record):
    """Why somebody still waits: how many are ahead of them, or which devices are taken or busy, and why."""

    ahead: int
    taken: tuple[tuple[Device, str], ...]

    def describe(self) -> str:
        """`2 came before`, `gpu 0, 1, 2 leased; gpu 3 held by python3 (pid 7)`."""
        if self.ahead:
            return f"{self.ahead} came before"
        ranks: dict[tuple[str, str], list[str]] = {}
        for device, why in self.taken:
            ranks.setdefault((device.kind.value, why), []).append(str(device.rank))
        return "; ".join(f"{kind} {', '.join(which)} {why}" for (kind, why), which in ranks.items())


class Lease:
    """Devices that are this process's, and those of its children that inherit `descriptors`."""

    def __init__(self, scope: Scope, locks: Sequence[int], claim: Own) -> None:
        self.scope = scope
        self.devices = scope.devices
        self._locks = tuple(locks)
        self._claim = claim

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a command must inherit, so that the lease lasts as long as it does."""
        return (*self._locks, self._claim.descriptor)

    def release(self) -> None:
        """Give the devices back, as far as this process is concerned."""
        self._claim.withdraw()
        for lock in self._locks:
            os.close(lock)


class Asking(Record):
    """Who asks, for what: the devices of the host, what is wanted, the command's words for others to see."""

    every: tuple[Device, ...]
    wanted: Wanted
    command: tuple[str, ...]
    busy: Callable[[Device], str]
    """Why a device that nobody has leased cannot be given (a holder, memory in use, quarantine), or empty."""


def acquire(state: State, asking: Asking, *, wait: float | None, progress: Callable[[Waiting], None]) -> Lease:
    """Lease what is wanted, in turn, waiting `wait` seconds at most (None: for ever, 0: not at all, but for those who are just being
    served).

    Errors: InputError for what this host can never give; DevproxyError when the time is over, with who has the devices.
    """
    fitting = candidates(asking.wanted, asking.every)
    ticket = Own(state.queue, _about(asking, {"wants": [device.name for device in fitting]}))
    deadline = _Deadline(asking, wait, progress, ticket)
    try:
        while ahead := _ahead(state, ticket, fitting):
            _wait_for(state, ahead, deadline)
        while True:
            lease, taken = _take(state, asking, fitting)
            if lease is not None:
                return lease
            deadline.pause(Waiting(0, taken))
    finally:
        ticket.withdraw()


class _Deadline:
    """Pauses between two looks, until the time is over. Who comes later is told that this one waits."""

    def __init__(self, asking: Asking, wait: float | None, progress: Callable[[Waiting], None], ticket: Own) -> None:
        self._ticket = ticket
        self._told = False
        self._asking = asking
        self._wait = wait
        self._progress = progress
        self._until = None if wait is None else time.monotonic() + wait

    def pause(self, waiting: Waiting) -> None:
        """Errors: DevproxyError when the time is over, with what was waited for."""
        if self._until is not None and time.monotonic() >= self._until:
            raise _too_late(self._asking, waiting, self._wait)
        if not self._told:
            self._ticket.waits()
            self._told = True
        self._progress(waiting)
        time.sleep(_FIRST_EVERY if waiting.ahead <= 1 else _OTHERS_EVERY)


def _ahead(state: State, ticket: Own, fitting: Sequence[Device]) -> list[Claim]:
    """Those who came before and may want the same devices, the last one last. One whose file does not say what it wants may
    want any.
    """
    names = {device.name for device in fitting}

    def concerns(words: dict[str, object]) -> bool:
        wants = words.get("wants")
        return not isinstance(wants, list) or any(name in names for name in wants if isinstance(name, str))

    return [claim for claim in living(state.queue) if claim.came < ticket.came and concerns(claim.words)]


def _wait_for(state: State, ahead: Sequence[Claim], deadline: _Deadline) -> None:
    """Wait until the one right before us has been served or is gone. Who is before that one has come before us too."""
    last = Watched(state.queue, ahead[-1])
    looks = time.monotonic() + _LOOK
    try:
        while not last.is_over():
            if last.waits() or time.monotonic() >= looks:
                looks = 0.0
                deadline.pause(Waiting(len(ahead), ()))
            else:
                time.sleep(_FIRST_EVERY)
    finally:
        last.close()


def _take(
    state: State, asking: Asking, fitting: Sequence[Device]
) -> tuple[Lease | None, tuple[tuple[Device, str], ...]]:
    """A lease of the first group that is free; or what is not, and why."""
    taken: dict[Device, str] = {}
    for group in groups(asking.wanted, fitting, asking.every):
        locks: dict[Device, int] = {}
        try:
            for device in group:
                if len(locks) == asking.wanted.number:
                    break
                lock = _lock(state, device.name)
                if lock is None:
                    taken[device] = "leased"
                    continue
                locks[device] = lock  # before anybody looks: looking may fail, and who waits may be interrupted
                if why := asking.busy(device):
                    taken[device] = why
                    os.close(locks.pop(device))
            if len(locks) == asking.wanted.number:
                scope = Scope(os.urandom(16).hex(), os.getuid(), time.time(), tuple(locks))
                names = [device.name for device in locks]
                claim = Own(state.held, _about(asking, {"devices": names, "id": scope.ident}))
                lease = Lease(scope, tuple(locks.values()), claim)
                locks = {}
                return lease, ()
        finally:
            for lock in locks.values():
                os.close(lock)
    return None, tuple(taken.items())


def _lock(state: State, name: str) -> int | None:
    """The lock of a device, or None where somebody has it."""
    descriptor = state.device(name)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _about(asking: Asking, more: dict[str, object]) -> dict[str, object]:
    return {"pid": os.getpid(), "since": time.time(), "command": list(asking.command)[:64], **more}


def _too_late(asking: Asking, waiting: Waiting, wait: float | None) -> DevproxyError:
    number = asking.wanted.number
    waited = f" within {wait:g} s" if wait else ""
    return DevproxyError(
        f"{number} accelerator{'' if number == 1 else 's'} could not be had{waited}: {waiting.describe()}",
        hint="'devproxy lease list' says who has them; --wait TIME waits",
    )
