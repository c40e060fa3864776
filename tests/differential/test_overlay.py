"""Our overlay and the kernel's answer alike: same results, same tree, same whiteouts and opaque directories in the upper layer."""

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import given

from tests.differential.vfs.overlays import PROGRAMS, Programs, run_kernel, run_simulated

pytestmark = [pytest.mark.root, pytest.mark.property]


@given(PROGRAMS)
def test_any_program_through_an_overlay_does_the_same(programs: Programs) -> None:
    place = tempfile.mkdtemp(dir="/dev/shm")
    try:
        theirs = run_kernel(programs, place)
    finally:
        os.rmdir(place)
    ours = run_simulated(programs)
    for step, call in enumerate(programs.main):
        assert ours[step] == theirs[step], f"step {step}: {call}: {ours[step]}, the kernel {theirs[step]}"
    assert ours[-2] == theirs[-2], "the tree that is left"
    assert ours[-1] == theirs[-1], "the upper layer"
