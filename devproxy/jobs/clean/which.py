"""Which leases there are to clean after: those that are over, and of which something is still there."""

from __future__ import annotations

import os

from devproxy.errors import InputError
from devproxy.jobs.claims import Claim, look, pid_in, read_words
from devproxy.jobs.clean.process import Hidden, Process, every
from devproxy.jobs.clean.proof import locked
from devproxy.jobs.clean.survey import started
from devproxy.jobs.scope import IDENT, Scope, read_scope
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

    from devproxy.jobs.devices import Device
    from devproxy.jobs.state import State

_DIGITS: Final = frozenset("0123456789abcdef")


class Trace(Record):
    """A lease that is over, as its processes and its claim tell of it: its number, its owner, the first of these."""

    ident: str
    uid: int
    since: float
    names: tuple[str, ...]


def is_number(text: str) -> bool:
    """Whether it has the form of a lease's number."""
    return len(text) == 32 and _DIGITS.issuperset(text)


def noted(path: str) -> Scope:
    """The lease in a note.

    Errors: InputError for no note, and for one that somebody else wrote: root would clean after whom they please.
    """
    scope = read_scope(path)
    owner = os.stat(path).st_uid
    if owner not in (0, os.geteuid(), scope.uid):
        raise InputError(
            f"{path!r} is uid {owner}'s and tells of a lease of uid {scope.uid}'s, expected its own or root's"
        )
    if not is_number(scope.ident):
        raise InputError(f"{path!r} tells of lease {scope.ident!r}, expected 32 hexadecimal digits")
    return scope


def require_over(scope: Scope, state: State | None) -> None:
    """Errors: InputError while the lease's command lives, with who it is."""
    every_claim = [] if state is None else look(state.held)
    claims = [
        claim
        for claim in every_claim
        if claim.alive and claim.uid == scope.uid and claim.words.get("id") == scope.ident
    ]
    for process in every():
        try:
            alive = _is_command(process, claims, scope)
        except (Hidden, ProcessLookupError):
            continue
        if alive:
            raise InputError(
                f"lease {scope.ident} is not over: {process.seen.describe()} of uid {scope.uid} has it",
                hint="end it first, or wait for it; 'devproxy lease list' says who has what",
            )


def over(state: State | None, devices: Sequence[Device]) -> list[Scope]:
    """The leases that are over and of which there is a trace."""
    return [scope for scope in traces(state, devices) if _is_over(scope, state)]


def traces(state: State | None, devices: Sequence[Device]) -> list[Scope]:
    """The leases of which there is a process or a claim: everybody's for root, else one's own; the oldest first. What is known of their
    devices is in their claims, among `devices`.
    """
    claims = [] if state is None else look(state.held)
    found: dict[tuple[str, int], Trace] = {}
    for claim in claims:
        number = claim.words.get("id")
        if isinstance(number, str) and is_number(number):
            _add(found, Trace(number, claim.uid, claim.came[0] / 1e9, _names(claim)))
    for process in every():
        try:
            numbers = process.variables(IDENT)
        except (Hidden, ProcessLookupError):
            continue
        for number in numbers if len(numbers) == 1 else ():
            if is_number(number) and process.seen.is_wholly(process.seen.uids[0]):
                _add(found, Trace(number, process.seen.uids[0], started(process.seen.identity), ()))
    mine = os.geteuid()
    scopes = [_scope(trace, devices) for trace in found.values() if mine in (0, trace.uid)]
    return sorted(scopes, key=lambda scope: scope.since)


def _is_over(scope: Scope, state: State | None) -> bool:
    try:
        require_over(scope, state)
    except InputError:
        return False
    return True


def _add(found: dict[tuple[str, int], Trace], trace: Trace) -> None:
    known = found.setdefault((trace.ident, trace.uid), trace)
    found[trace.ident, trace.uid] = known._replace(
        since=min(known.since, trace.since), names=known.names or trace.names
    )


def _scope(trace: Trace, devices: Sequence[Device]) -> Scope:
    return Scope(trace.ident, trace.uid, trace.since, tuple(each for each in devices if each.name in trace.names))


def _names(claim: Claim) -> tuple[str, ...]:
    names = claim.words.get("devices")
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()


def _pid(claim: Claim) -> int:
    return pid_in(claim.words)


def _is_command(process: Process, claims: Sequence[Claim], scope: Scope) -> bool:
    """Whether a process is the lease's command: a claim says so, and so does the kernel. The claim may be one of another place than
    is looked at: the process has it locked itself.
    """
    ours = [claim for claim in claims if _pid(claim) in process.seen.numbers]
    if ours and any(locked(process, frozenset(claim.inode for claim in ours))):
        return True
    if process.variables(IDENT) != {scope.ident}:
        return False
    return bool(ours) or any(process.seen.identity.pid == pid for pid in _claimed(process, scope.ident))


def _claimed(process: Process, ident: str) -> Iterator[int]:
    """The processes that claims speak of which this one has locked, with that number of a lease."""
    for number, _, text in process.descriptors():
        if b"FLOCK" in text:
            words = read_words(process.content(number))
            if words.get("id") == ident:
                yield pid_in(words)
