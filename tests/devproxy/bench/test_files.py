"""The peers that are measured do the work that ours does."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from devproxy.bench import files
from devproxy.bench.files import CHUNKS, Files
from devproxy.process import run

_MAKERS: list[Callable[[], tuple[str, Files]]] = [files.of_pyfakefs, files.of_memoryfs, files.of_fsspec]


def work(system: Files) -> list[list[str]]:
    """The names after each step."""
    seen: list[list[str]] = []

    def look() -> None:
        seen.append(sorted(os.path.basename(name) for name in system.names()))

    system.create("one")
    system.fill("one")
    system.read("one")
    look()
    system.rename("one", "two")
    look()
    system.write("chunks")
    look()
    system.unlink("two")
    system.unlink("chunks")
    look()
    return seen


EXPECTED = [["one"], ["two"], ["chunks", "two"], []]


@pytest.mark.parametrize("make", _MAKERS)
def test_packages(make: Callable[[], tuple[str, Files]]) -> None:
    peer, system = make()
    assert any(character.isdigit() for character in peer)
    assert work(system) == EXPECTED


def test_ours() -> None:
    assert work(files.of_vfs()) == EXPECTED


def test_the_kernels(tmp_path: Path) -> None:
    system = files.of_os(os, str(tmp_path))
    assert work(system) == EXPECTED
    system.write("chunks")
    assert (tmp_path / "chunks").stat().st_size == CHUNKS * 64 * 1024


@pytest.mark.programs
def test_many_files_take_memory() -> None:
    """A file costs less than the 700 bytes of the budget, and more than nothing. In a process that has none to spare."""
    done = run([sys.executable, "-m", "devproxy.bench.many_files", "20000"])
    assert 100 * 20_000 < int(done.out) < 700 * 20_000
