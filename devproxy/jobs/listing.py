"""Who has what since when, and who waits: as the kernel tells it, with the words of those who are believed."""

from __future__ import annotations

import os

from devproxy.jobs.claims import Claim, living, pid_in
from devproxy.jobs.state import State
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_LOCKS: Final = "/proc/locks"


class Held(Record):
    """A device that is leased. `pid` is the process that took the lock, as the kernel says (0: of another pid namespace); it may
    have ended, with a child that has the lease still. What the holder says of itself is empty where it is not believed.
    """

    device: str
    pid: int
    uid: int | None
    since: float | None
    command: tuple[str, ...]


class Waiter(Record):
    """Somebody who waits, in the order of the queue."""

    pid: int
    uid: int
    since: float | None
    command: tuple[str, ...]
    wants: tuple[str, ...]


def held(state: State) -> tuple[Held, ...]:
    """The devices that are leased now, by name."""
    lockers = _lockers()
    claims = living(state.held)
    found = []
    for name in state.devices():
        descriptor = state.device(name)
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        pid = lockers.get((os.major(status.st_dev), os.minor(status.st_dev), status.st_ino))
        if pid is not None:
            found.append(_held(name, pid, claims))
    return tuple(found)


def waiters(state: State) -> tuple[Waiter, ...]:
    """Who waits, first come first."""
    return tuple(
        Waiter(_pid(claim), claim.uid, _since(claim), _texts(claim, "command"), _texts(claim, "wants"))
        for claim in living(state.queue)
    )


def _held(name: str, pid: int, claims: list[Claim]) -> Held:
    """The lock's process is the kernel's word. A claim is believed that says the same process and device."""
    for claim in claims:
        if _pid(claim) == pid and name in _texts(claim, "devices"):
            return Held(name, pid, claim.uid, _since(claim), _texts(claim, "command"))
    return Held(name, pid, None, None, ())


def _lockers() -> dict[tuple[int, int, int], int]:
    """The process of each flock(2) lock, by device and inode (proc_locks(5)): `1: FLOCK ADVISORY WRITE 708 fd:01:1234 0 EOF`."""
    found = {}
    with open(_LOCKS, encoding="ascii", errors="replace") as lines:
        for line in lines:
            words = line.split()
            if len(words) >= 6 and words[1:4] == ["FLOCK", "ADVISORY", "WRITE"]:
                major, minor, inode = words[5].split(":")
                found[int(major, 16), int(minor, 16), int(inode)] = int(words[4])
    return found


def _pid(claim: Claim) -> int:
    return pid_in(claim.words)


def _since(claim: Claim) -> float | None:
    since = claim.words.get("since")
    return float(since) if isinstance(since, int | float) else None


def _texts(claim: Claim, key: str) -> tuple[str, ...]:
    value = claim.words.get(key)
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, list) else ()
