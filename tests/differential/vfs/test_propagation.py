"""Shared, slave, private and unbindable mounts, moved, sealed and taken down: ours and the kernel's."""

from __future__ import annotations

import tempfile

import pytest
from hypothesis import example, given

from tests.differential.vfs.programs import Call
from tests.differential.vfs.propagation import PROGRAMS, START, run_kernel, run_simulated

pytestmark = [pytest.mark.root, pytest.mark.property]


def compare(program: list[Call]) -> None:
    program = [*START, *(call._replace(as_user=False) for call in program)]
    ours = run_simulated(program)
    with tempfile.TemporaryDirectory() as place:
        theirs = run_kernel(program, place)
    for step, call in enumerate(program):
        assert ours[step] == theirs[step], f"step {step}: {call}"
    assert ours[-1] == theirs[-1]


@given(PROGRAMS)
@example([Call("propagation", ("b", "slave", False)), Call("move", ("b", "a"))])
def test_any_program_about_propagation_does_the_same(program: list[Call]) -> None:
    compare(program)
