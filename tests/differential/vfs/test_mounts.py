"""Mounting, binding and unmounting on ours and on the kernel: same results, same errno, same mount table, same tree."""

from __future__ import annotations

import pytest

from tests.differential.vfs.explore import Comparison, check, explore
from tests.differential.vfs.mounts import run_kernel, run_simulated
from tests.differential.vfs.programs import MOUNTING, Call

pytestmark = [pytest.mark.root, pytest.mark.property]

START = [Call("mkdir", (path, 0o777)) for path in ("a", "b", "a/b", "c")]


def _as_root(program: list[Call]) -> list[Call]:
    return [*START, *(call._replace(who="root") for call in program)]


@pytest.mark.rows("S56", "H23", "H24", oracle="kernel")
def test_any_program_with_mounts_does_the_same() -> None:
    explore("mounts", Comparison(MOUNTING.map(_as_root), run_simulated, run_kernel))


def test_what_is_copied_is_numbered_depth_first() -> None:
    program = [
        *(Call("mount", (path, flags)) for path, flags in (("a/..", 0), ("b", 0), (".", 256))),
        Call("bind", ("/", "a", True)),
        Call("umount", ("b", 8)),
        Call("umount", ("b/..", 0)),
    ]
    check(Comparison(MOUNTING, run_simulated, run_kernel), [*START, *program])


def test_a_tree_under_what_has_no_name_any_more_is_not_attached() -> None:
    program = [Call("bind", ("a/b", "a/..", True)), Call("rmdir", ("a/b",)), Call("bind", (".", "b", True))]
    check(Comparison(MOUNTING, run_simulated, run_kernel), [*START, *program])
