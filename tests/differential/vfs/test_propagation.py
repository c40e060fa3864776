"""Shared, slave, private and unbindable mounts, moved, sealed and taken down: ours and the kernel's."""

from __future__ import annotations

import pytest

from tests.differential.vfs.explore import check, explore
from tests.differential.vfs.programs import Call
from tests.differential.vfs.propagation import COMPARISON, START

pytestmark = [pytest.mark.root, pytest.mark.property]


@pytest.mark.rows("H24", oracle="kernel")
def test_any_program_about_propagation_does_the_same() -> None:
    explore("propagation", COMPARISON)


@pytest.mark.rows("H24", oracle="kernel")
def test_a_slave_that_is_moved_where_it_hears_of() -> None:
    check(COMPARISON, [*START, Call("propagation", ("b", "slave", False)), Call("move", ("b", "a"))])
