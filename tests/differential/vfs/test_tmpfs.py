"""Our tmpfs and the kernel's answer alike: same results, same errno where several apply, same tree at the end."""

from __future__ import annotations

import os
from functools import partial

import pytest

from tests.differential.vfs import kernel, simulated
from tests.differential.vfs.explore import Comparison, explore
from tests.differential.vfs.programs import CONTENTS, LIMITED, LIMITS, SEVERAL, Call

pytestmark = [pytest.mark.root, pytest.mark.property]

_FLAGS = os.O_RDWR | os.O_CREAT
OPENED = [
    Call("open", (0, "a", _FLAGS, 0o6777)),
    Call("open", (1, "a", os.O_RDONLY, 0)),
    Call("open", (2, "a", os.O_RDWR | os.O_APPEND, 0), "user"),
]


COMPARISON = Comparison(SEVERAL, simulated.run, kernel.run_all)
FULL_COMPARISON = Comparison(LIMITED, partial(simulated.run, data=LIMITS), partial(kernel.run_all, data=LIMITS))


def test_any_program_of_calls_does_the_same() -> None:
    explore("tmpfs", COMPARISON)


def test_any_program_on_open_files_does_the_same() -> None:
    explore("open files", Comparison(CONTENTS.map(lambda program: [*OPENED, *program]), simulated.run, kernel.run_all))


@pytest.mark.rows("S55", oracle="kernel")
def test_any_program_that_fills_a_file_system_does_the_same() -> None:
    explore("a full tmpfs", FULL_COMPARISON)
