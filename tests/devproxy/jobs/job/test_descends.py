"""Which processes are a job's because they descend from its guard."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from devproxy.jobs.clean.process import Process
from devproxy.jobs.job.after import Descends
from devproxy.jobs.job.guard import children_of


@contextmanager
def chain(length: int) -> Iterator[list[int]]:
    """Processes, each the child of the one before, the first this one's."""
    reader, writer = os.pipe()
    first = os.fork()
    if first == 0:
        for left in range(length, 0, -1):
            os.write(writer, b"%d\n" % os.getpid())
            if left > 1 and os.fork():
                break
        os.close(writer)
        os.close(reader)
        signal.pause()
    os.close(writer)
    with open(reader) as lines:
        pids = [int(line) for line in lines]
    try:
        yield pids
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(first, 0)


def says(guard: int, pid: int) -> str:
    with Process(pid) as process:
        return Descends(guard)(process)


def test_children_and_theirs_and_nobody_else() -> None:
    with chain(4) as pids:
        assert len(pids) == 4
        assert children_of(pids[0]) == [pids[1]]
        for pid in pids[1:]:
            assert says(pids[0], pid) == "descends from the job's guard"
        for pid in (pids[0], os.getpid(), 1):
            assert says(pids[0], pid) == ""
        assert says(pids[1], pids[3])
        assert not says(pids[2], pids[1])


def test_one_that_is_another_parents_by_the_time_of_the_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parent's number may be somebody else's by then."""
    with chain(3) as pids:
        really, asked = Process.parent, []

        def parent(self: Process) -> int:
            asked.append(self.seen.identity.pid)
            return 1 if asked.count(pids[2]) > 1 and self.seen.identity.pid == pids[2] else really(self)

        monkeypatch.setattr(Process, "parent", parent)
        assert says(pids[0], pids[2]) == ""
