"""Markers gathered from what pytest collects: every test as one entry a marker, and what is wrong with one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.trace.table import ORACLES, ROWS

TESTS: Final = Path(__file__).parent.parent
# What compares with the kernel without being root: these folders hold nothing else.
_BESIDE_THE_KERNEL: Final = ("tests/differential/", "tests/property/", "tests/contract/filesystems/")


class Entry(NamedTuple):
    """One `rows` marker of one test case."""

    file: str  # from the repository's root
    function: str  # without its parameters
    rows: tuple[str, ...]
    oracle: str | None
    marks: tuple[str, ...]  # names of all markers of the case, and "as_user" where it works on the kernel without root

    @property
    def test(self) -> str:
        return f"{self.file}::{self.function}"


WHOLE: Final = pytest.StashKey[list[Entry]]()


def entries(items: Iterable[pytest.Item]) -> list[Entry]:
    """The entries of collected tests, in their order; parameters leave as many as there are cases."""
    return list(_entries(items))


def _entries(items: Iterable[pytest.Item]) -> Iterator[Entry]:
    for item in items:
        for mark in item.iter_markers("rows"):
            file, _, function = item.nodeid.partition("[")[0].partition("::")
            marks = {each.name for each in item.iter_markers()} | _as_user(item)
            oracle = mark.kwargs.get("oracle")
            yield Entry(
                file,
                function,
                tuple(map(str, mark.args)),
                None if oracle is None else str(oracle),
                tuple(sorted(marks)),
            )


def _as_user(item: pytest.Item) -> set[str]:
    code = getattr(getattr(item, "function", None), "__code__", None)
    return {"as_user"}.intersection(() if code is None else code.co_names)


def remember(config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    """Keep the entries of a session that collects every test: the trace then costs no collection of its own."""
    narrowed = any(config.getoption(name, None) for name in ("ignore", "ignore_glob", "lf", "pyargs"))
    if not narrowed and [Path(config.invocation_params.dir, argument) for argument in config.args] == [TESTS]:
        config.stash[WHOLE] = entries(items)


def collected(config: pytest.Config) -> list[Entry]:
    """The entries of every test: this session's where it collects all, else those of another session, asked for once."""
    if WHOLE not in config.stash:
        command = [sys.executable, "-m", "tests.trace", "--json"]
        listed = subprocess.run(command, cwd=TESTS.parent, check=True, stdout=subprocess.PIPE)
        config.stash[WHOLE] = [
            Entry(file, function, tuple(rows), oracle, tuple(marks))
            for file, function, rows, oracle, marks in json.loads(listed.stdout)
        ]
    return config.stash[WHOLE]


def mistakes(found: Iterable[Entry]) -> list[str]:
    """What is wrong with markers, one line a marker: names nobody knows, and oracles that cannot have been asked."""
    wrong = []
    credible = {(entry.test, entry.oracle) for entry in found if _credible(entry)}
    for entry in sorted(set(found)):
        unknown = [row for row in entry.rows if row not in ROWS]
        if unknown or not entry.rows:
            wrong.append(f"{entry.test}: no such row: {', '.join(unknown) or 'none is named'}")
        if entry.oracle not in ORACLES:
            wrong.append(f"{entry.test}: oracle {entry.oracle!r} is none of {', '.join(ORACLES)}")
        elif (entry.test, entry.oracle) not in credible:
            wrong.append(f"{entry.test}: no case of it can ask {entry.oracle}: see tests/trace/gather.py")
    return wrong


def _credible(entry: Entry) -> bool:
    """Whether a case can have asked its oracle: a peer runs in tests marked so; the kernel answers root, a
    user in a namespace of his own, or a comparison."""
    match entry.oracle:
        case "runsc" | "runc" | "crun":
            return "peer" in entry.marks
        case "kernel":
            return bool({"root", "peer", "as_user"} & set(entry.marks)) or entry.file.startswith(_BESIDE_THE_KERNEL)
        case _:
            return True
