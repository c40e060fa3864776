"""System V IPC that outlives its processes, made for real."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from devproxy.linux.sysv import remove_memory, remove_queue, remove_semaphores
from tests.devproxy.jobs.clean.dirty import Job, kinds
from tests.devproxy.jobs.clean.planted import LONELY, OTHER


def sysv(made: Job, work: str, env: dict[str, str] | None = None) -> None:
    made.start("c = ctypes.CDLL(None, use_errno=True)\n" + work, env)


def rows(table: str, uid: int) -> list[int]:
    with open(f"/proc/sysvipc/{table}") as lines:
        header, *rest = (line.split() for line in lines)
    return [int(row[1]) for row in rest if int(row[header.index("uid")]) == uid]


_MADE: dict[str, tuple[str, str, Callable[[int], None]]] = {
    "sysv-shm": ("shm", "assert c.shmget(0, 4096, 0o1600) >= 0", remove_memory),
    "sysv-sem": ("sem", "i = c.semget(0, 2, 0o1600); assert c.semctl(i, 1, 16, 3) == 0", remove_semaphores),
    "sysv-msg": ("msg", "i = c.msgget(0, 0o1600); assert c.msgsnd(i, b'\\1' + b'\\0' * 15, 8, 0) == 0", remove_queue),
}


@pytest.fixture(params=_MADE)
def ipc(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A kind of it; what is left of two users' is removed at the end."""
    kind = request.param
    yield (kind, *_MADE[kind][:2])
    for uid in (LONELY, OTHER):
        for ident in rows(_MADE[kind][0], uid):
            _MADE[kind][2](ident)


@pytest.mark.root
class TestSystemV:
    def test_what_a_process_of_the_lease_made_is_removed(self, lonely: Job, ipc: Any) -> None:
        kind, table, work = ipc
        sysv(lonely, work)
        assert len(rows(table, LONELY)) == 1
        dry = lonely.clean(dry_run=True)
        assert len(rows(table, LONELY)) == 1
        wet = lonely.clean()
        assert kinds(dry) == kinds(wet) == ["process", kind]
        assert wet.removed[1].proof.endswith("it, which was the lease's")
        assert rows(table, LONELY) == []

    def test_what_is_anothers_or_in_use_stays(self, lonely: Job, ipc: Any) -> None:
        """Another user's; and of the same user's, that of a process which is not the lease's."""
        _, table, work = ipc
        lonely.start("c = ctypes.CDLL(None, use_errno=True)\n" + work, env={}, uid=OTHER)
        lonely.start("c = ctypes.CDLL(None, use_errno=True)\n" + work, env={})
        cleaned = lonely.clean()
        assert (cleaned.removed, cleaned.left) == ((), ())
        assert (len(rows(table, OTHER)), len(rows(table, LONELY))) == (1, 1)

    def test_what_was_there_before_stays(self, lonely: Job, ipc: Any) -> None:
        _, table, work = ipc
        sysv(lonely, work, {})
        lonely.end()
        lonely.scope = lonely.scope._replace(since=time.time() + 1)
        assert not lonely.clean().removed
        assert len(rows(table, LONELY)) == 1

    def test_what_a_dead_process_left_is_removed_where_nobody_else_can_have_made_it(
        self, lonely: Job, ipc: Any
    ) -> None:
        kind, table, work = ipc
        lonely.scope = lonely.scope._replace(since=time.time() - 2)  # the kernel tells whole seconds
        sysv(lonely, work, {})
        lonely.end()
        assert kinds(lonely.clean()) == [kind]
        assert rows(table, LONELY) == []

    def test_a_segment_that_is_attached_stays(self, lonely: Job) -> None:
        lonely.scope = lonely.scope._replace(since=time.time() - 2)
        try:
            sysv(lonely, "i = c.shmget(4711, 4096, 0o1666)", {})
            lonely.end()
            attach = "i = c.shmget(4711, 4096, 0); c.shmat.restype = ctypes.c_void_p; assert c.shmat(i, None, 0) > 0"
            lonely.start("c = ctypes.CDLL(None, use_errno=True)\n" + attach, env={}, uid=OTHER)
            assert not lonely.clean().removed
            assert len(rows("shm", LONELY)) == 1
        finally:
            for ident in rows("shm", LONELY):
                remove_memory(ident)
