"""Which processes are a lease's, as far as that can be proven. Whoever can be killed by a mistake here will be.

A process is the lease's when

1. it and all of its users are the lease's owner, and it was started with the lease's number (DEVPROXY_LEASE_ID in /proc/PID/environ):
   nobody can write that into another user's process;
2. it is the owner's likewise, and has the descriptor by which the lease's claim is locked: /proc/PID/fdinfo, the kernel's word
   (`lock:` stands at that open file alone, which comes by inheritance);
3. it has both, the number and the lock, whoever's it is: one that changed its user. Neither is enough alone. The number can be given
   to one's own processes by anybody, and a descriptor can be sent to somebody else's (unix(7), SCM_RIGHTS);
4. its parent is proven, and was there when that was looked at: a program of another user's (set-user-ID) among them;
5. somebody who knows more says so (`Asked.proofs`: the job's control group).

One that was started with another lease's number, by a lease within the lease, is not proven by 2 or 4 alone. Nothing else counts: no
name, no command line, no user, no device that is open.
"""

from __future__ import annotations

import os

from devproxy.jobs.claims import Claim, look
from devproxy.jobs.clean.process import Hidden, Identity, Process, Seen, every
from devproxy.jobs.scope import IDENT
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from devproxy.jobs.clean.asked import Asked

_LOCK: Final = b"lock:"
PIPES: Final = "CUDA_MPS_PIPE_DIRECTORY"
LOGS: Final = "CUDA_MPS_LOG_DIRECTORY"
TPU_LOGS: Final = "TPU_LOG_DIR"


class Proven(Record):
    """A process that is the lease's, and why; `directories` are those that its environment names for MPS's pipes and logs and for
    libtpu's logs, by variable.
    """

    seen: Seen
    proof: str
    directories: tuple[tuple[str, str], ...] = ()


class People(Record):
    """All processes, as they were seen: the lease's, everybody else (who is spared included), and those that could not be looked
    into, which may be either.
    """

    proven: tuple[Proven, ...]
    others: tuple[Seen, ...]
    hidden: tuple[Seen, ...]


class Census:
    """Looks at all processes, again and again; who was proven once stays so, also when a parent has gone that proved it."""

    def __init__(self, asked: Asked, spared: frozenset[int]) -> None:
        self._asked = asked
        self._spared = spared
        self._claims = claim_inodes(asked)
        self._known: dict[Identity, str] = {}

    def take(self, look_into: Callable[[Process], None] = lambda _: None) -> People:
        """Look at each process once; `look_into` is called with each while it is open."""
        proven: dict[Identity, Proven] = {}
        others: dict[Identity, Seen] = {}
        hidden: dict[Identity, Seen] = {}
        for process in every():
            seen = process.seen
            try:
                proof = "" if seen.identity.pid in self._spared else self._proof(process)
                if proof:
                    proven[seen.identity] = Proven(seen, proof, _directories(process))
                else:
                    others[seen.identity] = seen
                look_into(process)
            except Hidden:
                if seen.identity not in proven:
                    hidden[seen.identity] = seen
                    others.pop(seen.identity, None)
            except ProcessLookupError:
                others.pop(seen.identity, None)
                proven.pop(seen.identity, None)
        self._add_children(proven, others)
        self._add_children(proven, hidden)
        self._known |= {identity: found.proof for identity, found in proven.items()}
        return People(tuple(proven.values()), tuple(others.values()), tuple(hidden.values()))

    def _proof(self, process: Process) -> str:
        known = self._known.get(process.seen.identity)
        if known is not None:
            return known
        for more in self._asked.how.proofs:
            if words := more(process):
                return words
        owner = process.seen.is_wholly(self._asked.scope.uid)
        numbers = process.variables(IDENT)
        marked = numbers == {self._asked.scope.ident}
        if owner and marked:
            return f"was started with {IDENT}={self._asked.scope.ident}"
        if not marked and (numbers or not owner):
            return ""
        if not any(locked(process, self._claims)):
            return ""
        return "has the lease's lock" if owner else "was started with the lease's number and has its lock"

    def _add_children(self, proven: dict[Identity, Proven], rest: dict[Identity, Seen]) -> None:
        """Who is a child of one that is proven; theirs; and so on."""
        parents = {identity.pid: found.seen for identity, found in proven.items()}
        while True:
            young = [seen for seen in rest.values() if seen.parent in parents and seen.identity.pid not in self._spared]
            added = False
            for seen in young:
                if self._is_child(seen, parents[seen.parent]):
                    del rest[seen.identity]
                    words = f"is a child of {parents[seen.parent].describe()}, which is the lease's"
                    proven[seen.identity] = Proven(seen, words)
                    parents[seen.identity.pid] = seen
                    added = True
            if not added:
                return

    def _is_child(self, seen: Seen, parent: Seen) -> bool:
        """Whether it is that one's child: the parent is there before and after the child says so."""
        try:
            with Process(seen.identity.pid) as child, Process(parent.identity.pid) as other:
                same = child.seen.identity == seen.identity and other.seen.identity == parent.identity
                if not same or child.parent() != parent.identity.pid or not self._may_be_ours(child):
                    return False
                other.parent()  # answers: its number was its own all the while
                return True
        except (ProcessLookupError, Hidden):
            return False

    def _may_be_ours(self, child: Process) -> bool:
        try:
            return child.variables(IDENT) <= {self._asked.scope.ident}
        except Hidden:
            return True


def _directories(process: Process) -> tuple[tuple[str, str], ...]:
    try:
        named = [(name, path) for name in (PIPES, LOGS, TPU_LOGS) for path in process.variables(name)]
    except Hidden:
        return ()
    return tuple((name, path) for name, path in named if path[:1] == "/")


def claim_inodes(asked: Asked) -> frozenset[tuple[int, int]]:
    """Device and inode of the lease's claim, which lives: a process has it locked. One that somebody else made with the lease's
    number is none.
    """
    if asked.how.state is None:
        return frozenset()
    return frozenset(claim.inode for claim in look(asked.how.state.held) if claim.alive and claims_it(claim, asked))


def claims_it(claim: Claim, asked: Asked) -> bool:
    """Whether a claim is the lease's own."""
    return claim.words.get("id") == asked.scope.ident and claim.uid == asked.scope.uid


def locked(process: Process, inodes: frozenset[tuple[int, int]]) -> Iterator[str]:
    """The numbers of the descriptors by which a process has one of these files locked: `lock: 1: FLOCK ADVISORY WRITE 7 00:1a:42 0
    EOF`. Errors: Hidden.
    """
    if not inodes:
        return
    named = {f"{os.major(device):02x}:{os.minor(device):02x}:{inode}".encode() for device, inode in inodes}
    for number, _, text in process.descriptors():
        for line in text.split(b"\n"):
            words = line.split()
            if words[:1] == [_LOCK] and len(words) > 6 and words[2] == b"FLOCK" and words[6] in named:
                yield number
