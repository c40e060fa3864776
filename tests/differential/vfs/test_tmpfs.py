"""Our tmpfs and the kernel's answer alike: same results, same errno where several apply, same tree at the end."""

from __future__ import annotations

import os

import pytest
from hypothesis import given

from tests.differential.vfs import kernel, simulated
from tests.differential.vfs.programs import CONTENTS, SEVERAL, Call
from vfs import MountFlags

pytestmark = [pytest.mark.root, pytest.mark.property]


def compare(program: list[Call]) -> None:
    nodev = os.statvfs(kernel.PLACE).f_flag & os.ST_NODEV
    ours = simulated.run(program, MountFlags.NODEV if nodev else MountFlags(0))
    theirs = kernel.run(program)
    for step, call in enumerate(program):
        assert ours[step] == theirs[step], f"step {step}: {call}"
    assert ours[-1] == theirs[-1]


@given(SEVERAL)
def test_any_program_of_calls_does_the_same(program: list[Call]) -> None:
    compare(program)


@given(CONTENTS)
def test_any_program_on_open_files_does_the_same(program: list[Call]) -> None:
    flags = os.O_RDWR | os.O_CREAT
    opened = [Call("open", (0, "a", flags, 0o6777)), Call("open", (1, "a", os.O_RDONLY, 0))]
    compare([*opened, Call("open", (2, "a", os.O_RDWR | os.O_APPEND, 0), as_user=True), *program])
