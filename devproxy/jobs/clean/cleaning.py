"""Cleaning after a lease: what is its is found, ended and removed; what cannot be proven to be its is told and stays.

Processes go first; then all is looked at again, because a process that is asked to end may leave something, and because nobody uses
what only they used; files and segments follow, and the devices' settings come last, when nobody holds the devices any more. A dry run
looks once and says the same.
"""

from __future__ import annotations

import os
from functools import partial

from devproxy.errors import InputError
from devproxy.host.live.accelerators import is_first_pid_namespace
from devproxy.jobs.clean import claim, directories, settings, shm, sysv, tpu_lock
from devproxy.jobs.clean.asked import Asked, How
from devproxy.jobs.clean.dirt import Cleaned, Dirt
from devproxy.jobs.clean.ending import Ending
from devproxy.jobs.clean.process import Identity, ancestors
from devproxy.jobs.clean.processes import Held, dirt_of, held, strangers
from devproxy.jobs.clean.proof import Census
from devproxy.jobs.clean.survey import Memory, Survey, started, survey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from devproxy.host.facts import Host
    from devproxy.jobs.clean.directories import Directory
    from devproxy.jobs.scope import Scope

    # A piece of dirt, and what removes it: says why it could not be done, or nothing.
    Piece = tuple[Dirt, Callable[[], str]]

_PLAINLY: Final = How()
_DIGITS: Final = frozenset("0123456789abcdef")


def clean(scope: Scope, *, before: Host | None = None, dry_run: bool = False, how: How = _PLAINLY) -> Cleaned:
    """Clean after a lease; with `dry_run`, find what would be cleaned and touch nothing. `before` is the host before the job, to whose
    settings the lease's devices are put back.

    Whether the lease still lives is for the caller to know. Errors: InputError for a number that is no lease's.
    """
    ident = scope.ident
    if len(ident) != 32 or not _DIGITS.issuperset(ident):
        raise InputError(f"{ident!r} is no lease's number, expected 32 hexadecimal digits")
    return _Cleaning(Asked(scope, before, how)).run(dry_run=dry_run)


class _Cleaning:
    """One cleaning, from the first look to the last."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._spared = asked.how.spare | ancestors(os.getpid())
        self._census = Census(asked, self._spared)
        self._memory = Memory()
        self._named: dict[Directory, None] = dict.fromkeys(directories.directories(asked, ()))
        self._removed: list[Dirt] = []
        self._left: list[Dirt] = []

    def run(self, *, dry_run: bool) -> Cleaned:
        pieces, seen, holding = self._look()
        processes = [dirt_of(found, holding) for found in seen.people.proven]
        if dry_run:
            self._removed += processes
        elif processes:
            self._end({Identity(int(dirt.key[0]), int(dirt.key[1])): dirt for dirt in processes})
            pieces, seen, holding = self._look()
        self._left += strangers(seen, holding)
        changes = settings.find(self._asked)
        for dirt, remove in (*pieces, *changes.pieces):
            self._settle(dirt, "" if dry_run or not dirt.proof else remove())
        unseen = (*_unseen(seen), *filter(None, (holding.unseen, changes.unseen)))
        return Cleaned(self._asked.scope, tuple(self._removed), tuple(self._left), unseen, dry_run)

    def _look(self) -> tuple[list[Piece], Survey, Held]:
        """All but processes and settings, as it is now."""
        asked = self._asked
        while True:
            where = tuple(self._named)
            shared, lock, others = shm.files(asked), tpu_lock.file(asked), directories.files(where)
            everything = (*shared, *others, *((lock,) if lock else ()))
            seen = survey(asked, self._census, self._memory, everything, self._spared)
            # The environments of the lease's processes may say where else to look for files.
            self._named |= dict.fromkeys(directories.directories(asked, seen.people.proven))
            if len(self._named) == len(where):
                break
        pieces: list[Piece] = [(dirt, partial(tpu_lock.clear, file)) for dirt, file in tpu_lock.find(seen, lock)]
        pieces += [(dirt, partial(shm.clear, file)) for dirt, file in shm.find(seen, shared)]
        pieces += [(dirt, partial(sysv.remove, dirt)) for dirt in sysv.find(seen)]
        pieces += [(dirt, partial(directories.clear, file)) for dirt, file in directories.find(seen, where)]
        pieces += [(dirt, partial(claim.remove, asked, dirt)) for dirt in claim.find(asked)]
        return pieces, seen, held(asked)

    def _end(self, known: dict[Identity, Dirt]) -> None:
        ended = Ending(lambda: self._census.take().proven, self._asked.how.grace).run()
        holding = Held({}, {}, "")
        for found in ended.ended:
            self._removed.append(known.get(found.seen.identity) or dirt_of(found, holding))
        for found, why in ended.left:
            dirt = known.get(found.seen.identity) or dirt_of(found, holding)
            self._left.append(dirt._replace(why=why, hint=f"ps -o pid,stat,wchan,args -p {found.seen.identity.pid}"))

    def _settle(self, dirt: Dirt, why: str) -> None:
        if why:
            self._left.append(dirt._replace(why=why))
        elif not dirt.proof:
            self._left.append(dirt)
        else:
            self._removed.append(dirt)


def _unseen(seen: Survey) -> list[str]:
    """What of the processes could not be looked at, as far as it matters: one that was there before the lease began is not the
    lease's, but it may use what was made since.
    """
    scope, hidden = seen.asked.scope, seen.people.hidden
    found = []
    young = [each for each in hidden if scope.uid in each.uids and started(each.identity) >= scope.since]
    if young:
        names = ", ".join(each.describe() for each in young[:4])
        found.append(f"whether these processes are the lease's: {names} may not be looked into")
    if hidden and seen.new_files:
        found.append(f"who uses {seen.new_files[0].path}: {len(hidden)} processes may not be looked into")
    if not is_first_pid_namespace():
        found.append("processes of other pid namespaces")
    return found
