"""Mounts in several namespaces, roots that are pivoted, and names that vanish below mounts: ours and the kernel's."""

from __future__ import annotations

import pytest

from tests.differential.vfs.explore import check, explore
from tests.differential.vfs.locked import COMPARISON as LESS_PRIVILEGES
from tests.differential.vfs.namespaces import COMPARISON
from tests.differential.vfs.programs import Call
from tests.differential.vfs.propagation import START

pytestmark = [pytest.mark.root, pytest.mark.property]


@pytest.mark.rows("H24", oracle="kernel")
def test_any_program_in_several_namespaces_does_the_same() -> None:
    explore("namespaces", COMPARISON)


def test_dot_is_what_was_mounted_on_it() -> None:
    check(COMPARISON, [*START, Call("chdir", ("a",)), Call("mount", ("/b", 0)), Call("umount", (".", 2))])


@pytest.mark.rows("H24", oracle="kernel")
def test_any_program_of_less_privileges_does_the_same() -> None:
    explore("less privileges", LESS_PRIVILEGES)
