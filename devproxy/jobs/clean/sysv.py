"""System V IPC: segments, semaphore sets and queues that outlive who made them (sysvipc(7); proc(5), /proc/sysvipc).

The kernel tells who made a segment, and who used a queue or a semaphore last. It is told of the cleaner's own IPC namespace: a container's
are gone with the container.
"""

from __future__ import annotations

import time

from devproxy.jobs.clean.dirt import Dirt, DirtKind
from devproxy.jobs.clean.process import is_alive
from devproxy.jobs.clean.survey import Verdict
from devproxy.linux.sysv import last_process, remove_memory, remove_queue, remove_semaphores

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from devproxy.jobs.clean.survey import Survey

    Row = dict[str, int]

_TABLES: Final = (
    (DirtKind.SYSV_SHM, "shm", "shmid"),
    (DirtKind.SYSV_SEM, "sem", "semid"),
    (DirtKind.SYSV_MSG, "msg", "msqid"),
)
_REMOVE: Final[dict[DirtKind, Callable[[int], None]]] = {
    DirtKind.SYSV_SHM: remove_memory,
    DirtKind.SYSV_SEM: remove_semaphores,
    DirtKind.SYSV_MSG: remove_queue,
}
_OPTION: Final = {DirtKind.SYSV_SHM: "-m", DirtKind.SYSV_SEM: "-s", DirtKind.SYSV_MSG: "-q"}


def find(survey: Survey) -> list[Dirt]:
    """The lease's, and what may be the lease's."""
    found = []
    for kind, table, name in _TABLES:
        for row in _rows(table):
            verdict = _judge(survey, kind, row)
            if verdict.proof or verdict.why:
                what = f"{row[name]} (key {row['key'] & 0xFFFFFFFF:#010x})"
                hint = "" if verdict.proof else f"ipcrm {_OPTION[kind]} {row[name]}"
                found.append(Dirt(kind, what, verdict.proof, verdict.why, hint, (row[name], row["ctime"])))
    return found


def remove(dirt: Dirt) -> str:
    """Remove one, if it is still what it was. Returns why it could not be done."""
    table, name = next((table, name) for kind, table, name in _TABLES if kind is dirt.kind)
    ident, changed = dirt.key
    row = next((row for row in _rows(table) if row[name] == ident), None)
    if row is None:
        return ""
    if row["ctime"] != changed or row.get("nattch"):
        return "somebody began to use it while it was looked at"
    try:
        _REMOVE[dirt.kind](int(ident))
    except OSError as error:
        return f"cannot be removed: {(error.strerror or '').lower()}"
    return ""


def _judge(survey: Survey, kind: DirtKind, row: Row) -> Verdict:
    """A segment's maker is known. Of a queue and a semaphore set it is who used it last: the maker of one that was never used is
    anybody.
    """
    scope = survey.asked.scope
    if row["uid"] != scope.uid or row["cuid"] != scope.uid or row["ctime"] < int(scope.since):
        return Verdict()
    users = _users(kind, row)
    ours = users & survey.memory.pids.keys()
    if row.get("nattch") and not any(is_alive(survey.memory.pids[pid]) for pid in ours):
        return Verdict()  # in use; what the lease's processes use is free when they have been ended
    maker = row.get("cpid", 0)
    if ours and maker in (0, *ours):
        return Verdict(f"pid {maker or min(ours)} {'made' if maker else 'used'} it, which was the lease's")
    # Whole seconds: made in the one in which the lease began it may be older.
    if row["ctime"] <= scope.since or users & {seen.identity.pid for seen in survey.able(_made(row))}:
        return Verdict()
    return survey.judge(_made(row), maker or None)


def _users(kind: DirtKind, row: Row) -> set[int]:
    if kind is DirtKind.SYSV_SEM:
        return _operators(row) - {0}
    names = ("lspid", "lrpid") if kind is DirtKind.SYSV_MSG else ("cpid", "lpid")
    return {row[name] for name in names} - {0}


def _made(row: Row) -> float:
    """No later than this, in seconds since the epoch: the kernel tells when it was last changed, in whole ones."""
    return min(row["ctime"] + 1.0, time.time())


def _operators(row: Row) -> set[int]:
    found = set()
    for number in range(min(row["nsems"], 1024)):
        try:
            found.add(last_process(row["semid"], number))
        except OSError:
            break
    return found


def _rows(table: str) -> list[Row]:
    """A table of /proc/sysvipc, by the names of its columns; `perms` is octal and left out. None without System V IPC."""
    try:
        with open(f"/proc/sysvipc/{table}", encoding="ascii") as lines:
            header, *rest = (line.split() for line in lines)
    except (OSError, ValueError):
        return []
    return [{name: int(word) for name, word in zip(header, words, strict=True) if name != "perms"} for words in rest]
