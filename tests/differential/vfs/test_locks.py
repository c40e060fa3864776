"""Our locks and the kernel's: the same answers to processes that lock, ask, convert, share and close."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path

import pytest

from tests.differential.vfs import simulated_locks
from tests.differential.vfs.explore import Comparison, explore
from tests.differential.vfs.kernel_locks import processes
from tests.differential.vfs.lock_programs import LOCKING, LockCall
from tests.vfs.world import raises

pytestmark = pytest.mark.property


def test_any_program_of_lock_calls_does_the_same() -> None:
    with processes() as kernel:

        def theirs(programs: list[list[LockCall]]) -> list[list[object]]:
            return [kernel.run(program) for program in programs]

        explore("locks", Comparison(LOCKING, simulated_locks.run, theirs))


def is_waiting(pid: int) -> bool:
    """Whether a process waits for a lock: those that do stand behind an arrow in /proc/locks."""
    return any("->" in line and f" {pid} " in line for line in Path("/proc/locks").read_text().splitlines())


def test_the_kernel_tells_of_circles_as_ours_does(tmp_path: Path) -> None:
    """See tests/vfs/test_locks.py, test_owners_that_wait_for_each_other_are_told."""
    with (tmp_path / "f").open("w+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 10, 10)
        child = os.fork()
        if child == 0:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX, 10, 0)
                fcntl.lockf(file, fcntl.LOCK_EX, 10, 10)
            finally:
                os._exit(0)
        while not is_waiting(child):
            time.sleep(0.001)
        with raises(errno.EDEADLK):
            fcntl.lockf(file, fcntl.LOCK_EX, 10, 0)
        fcntl.lockf(file, fcntl.LOCK_UN, 10, 10)
        os.waitpid(child, 0)
