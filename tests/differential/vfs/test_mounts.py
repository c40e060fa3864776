"""Mounts, binds and what may be renamed and removed under them: ours and the kernel's."""

from __future__ import annotations

import tempfile

import pytest
from hypothesis import given

from tests.differential.vfs.mounts import run_kernel, run_simulated
from tests.differential.vfs.programs import MOUNTING, Call

pytestmark = [pytest.mark.root, pytest.mark.property]

START = [Call("mkdir", (path, 0o777)) for path in ("a", "b", "a/b", "c")]


@given(MOUNTING)
def test_any_program_with_mounts_does_the_same(program: list[Call]) -> None:
    program = [*START, *(call._replace(as_user=False) for call in program)]
    ours = run_simulated(program)
    with tempfile.TemporaryDirectory() as place:
        theirs = run_kernel(program, place)
    for step, call in enumerate(program):
        assert ours[step] == theirs[step], f"step {step}: {call}"
    assert ours[-1] == theirs[-1]
