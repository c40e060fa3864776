"""What is done after a job's command with what it left and with what is bad."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from itertools import pairwise
from shlex import join

from devproxy.errors import DevproxyError
from devproxy.jobs.clean.asked import How
from devproxy.jobs.clean.cleaning import clean as clean_after
from devproxy.jobs.clean.dirt import Cleaned, Dirt
from devproxy.jobs.clean.process import Process
from devproxy.jobs.job.asked import Asked
from devproxy.jobs.job.bounded import bounded
from devproxy.jobs.job.interrupts import Interrupts
from devproxy.jobs.job.result import Left, Look
from devproxy.jobs.quarantine import PLACE, Entry, add
from devproxy.jobs.rules import to_quarantine
from devproxy.jobs.scope import Scope
from devproxy.jobs.state import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Cleaning asks and waits for processes; NVML and /proc are asked with times of their own.
_SECONDS: Final = 60.0
_HURRIED: Final = 10.0
_BRIEFLY: Final = 0.5
_DEEPEST: Final = 1000


def keep_out(look: Look | None, before: Look | None, scope: Scope, asked: Asked) -> tuple[tuple[Entry, ...], str]:
    """Keep out, by rule, the lease's devices that are bad: those that were, and why that could not be done for others.

    The devices of a recording are put into no quarantine but one that was named for it.
    """
    if asked.host != "live" and asked.quarantine == PLACE:
        return (), ""
    if look is None or look.host is None:
        return (), ""
    kept: list[Entry] = []
    then = before.host if before else None
    for entry in to_quarantine(look.report, look.host, now=time.time(), by=os.getuid(), before=then):
        if entry.name not in scope.names:
            continue
        try:
            add(entry, asked.quarantine)
        except DevproxyError as error:
            found = entry.reason.partition(". ")[0]
            by_hand = join(
                ("sudo", "devproxy", "quarantine", "add", entry.name, "--code", entry.code, "--reason", found)
            )
            return tuple(kept), f"{entry.name} should be kept out, but {error.message}; by hand: {by_hand}"
        kept.append(entry)
    return tuple(kept), ""


def clean(
    scope: Scope, before: Look | None, asked: Asked, guard: int, interrupts: Interrupts
) -> tuple[tuple[Left, ...], dict[str, object]]:
    """Clean after the command, briefly if somebody is in a hurry: what was found, and the document that tells it. `guard` is the pid
    of the command's guard. After a rehearsal no device is looked at, and no setting of one.

    Errors: Hung; DevproxyError as cleaning has them.
    """
    real = asked.host == "live"
    hurried = interrupts.ending > 1
    grace = min(asked.grace, _BRIEFLY) if hurried else asked.grace
    wanted = scope if real else scope._replace(devices=())
    then = before.host if before is not None and real else None

    def work() -> Cleaned:
        with State(asked.state) as state:
            proofs = (Descends(guard),) if guard else ()
            how = How(state, frozenset((guard,)) if guard else frozenset(), proofs, held=True, grace=grace)
            return clean_after(wanted, before=then, how=how)

    seconds = _HURRIED if hurried else _SECONDS + 2 * grace
    cleaned = bounded("cleaning", work, seconds, None if hurried else interrupts)
    left = [Left(_what(dirt), f"removed: {dirt.proof}", gone=True, ours=True) for dirt in cleaned.removed]
    left += [Left(_what(dirt), dirt.why, gone=False, ours=bool(dirt.proof)) for dirt in cleaned.left]
    return tuple(left), cleaned.document()


def _what(dirt: Dirt) -> str:
    return f"{dirt.kind.value} {dirt.what}"


class Descends:
    """Proves that a process descends from the job's guard, which adopts what loses its parent (devproxy.jobs.job.guard)."""

    def __init__(self, guard: int) -> None:
        self._guard = guard

    def __call__(self, process: Process) -> str:
        """Why it is the lease's, or nothing. Errors: ProcessLookupError when it has ended."""
        with ExitStack() as stack:
            line = [process]
            while (parent := line[-1].parent()) != self._guard:
                if parent <= 1 or len(line) > _DEEPEST:
                    return ""
                try:
                    line.append(stack.enter_context(Process(parent)))
                except ProcessLookupError:
                    return ""  # its child is another's now: the next look tells whose
            # All of them were there all the while, each the parent of the one before: no number was another's meanwhile.
            for child, parent_of in pairwise(line):
                parent_of.parent()
                if child.parent() != parent_of.seen.identity.pid:
                    return ""
        return "descends from the job's guard"
