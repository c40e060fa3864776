"""Our locks and the kernel's: the same answers to processes that lock, ask, convert, share and close."""

from __future__ import annotations

import pytest

from tests.differential.vfs import simulated_locks
from tests.differential.vfs.explore import Comparison, explore
from tests.differential.vfs.kernel_locks import processes
from tests.differential.vfs.lock_programs import LOCKING, LockCall

pytestmark = pytest.mark.property


def test_any_program_of_lock_calls_does_the_same() -> None:
    with processes() as kernel:

        def theirs(programs: list[list[LockCall]]) -> list[list[object]]:
            return [kernel.run(program) for program in programs]

        explore("locks", Comparison(LOCKING, simulated_locks.run, theirs))
