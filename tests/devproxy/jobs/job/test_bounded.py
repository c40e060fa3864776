"""Work that hangs is left, in time, and keeps nothing of its job's."""

from __future__ import annotations

import os
import time

import pytest

from devproxy.errors import DevproxyError
from devproxy.jobs.job.bounded import Hung, bounded
from devproxy.jobs.job.interrupts import Interrupts


def test_what_comes_back_is_what_was_returned() -> None:
    assert bounded("work", lambda: ({"a": (1, "\ud800")}, b"x" * 300_000), 60) == ({"a": (1, "\ud800")}, b"x" * 300_000)


def test_it_does_not_wait_for_ever() -> None:
    with pytest.raises(Hung, match=r"looking did not answer within 0\.1 s"):
        bounded("looking", lambda: time.sleep(600), 0.1)


def test_nor_for_somebody_who_is_in_a_hurry() -> None:
    with Interrupts() as interrupts:
        interrupts.keep()
        interrupts.ending = 2
        with pytest.raises(Hung, match="interrupted twice"):
            bounded("looking", lambda: time.sleep(600), 600, interrupts)


def test_an_error_is_the_same_error() -> None:
    def fails() -> None:
        raise DevproxyError("no such thing", hint="look elsewhere")

    with pytest.raises(DevproxyError) as caught:
        bounded("work", fails, 60)
    assert (caught.value.message, caught.value.hint) == ("no such thing", "look elsewhere")


def test_a_defect_and_a_death_are_told() -> None:
    with pytest.raises(DevproxyError, match="ZeroDivisionError: "):
        bounded("work", lambda: 1 // 0, 60)
    with pytest.raises(Hung, match="work ended without an answer"):
        bounded("work", lambda: os._exit(9), 60)


def test_it_has_no_descriptor_of_the_jobs() -> None:
    """A lock that it kept would outlive the job, if it cannot be killed."""
    mine = os.open("/", os.O_RDONLY)
    try:
        names = bounded("work", lambda: [int(name) for name in os.listdir("/proc/self/fd")], 60)
    finally:
        os.close(mine)
    # 0 to 2, the pipe for the answer, and the directory that is being listed.
    assert len(names) <= 5
    assert bounded("work", lambda: os.getsid(0) == os.getpid(), 60)
