"""The list of rows, as text for a terminal and as a page of the docs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from tests.trace.gather import Entry
from tests.trace.table import LIVE, NOT_FOR_US, ORACLES, ROWS

PAGE: Final = Path(__file__).parent.parent.parent / "docs" / "rows.md"

_HEAD: Final = """\
# From row to test

Each row is a behaviour of the container set-up that devproxy rebuilds (S), or one that was added to it later (H). Every row
has tests, or a reason why it does not apply. A test names its rows and its oracle, which says what is right: a peer that runs
beside us (runsc, runc, crun), the running kernel, answers recorded on real machines (lab), or a specification.

`scripts/rows` lists the tests one by one, `scripts/rows S61` those of one row; `scripts/rows --write` writes this page, and
a test says when it is not up to date. Behind each file stands the number of its tests.

| row | behaviour | oracles | tests, or the reason there are none |
|---|---|---|---|
"""


def page(found: Sequence[Entry]) -> str:
    """docs/rows.md: one line a row, tests by file, so that a new case of an old test changes nothing."""
    return _HEAD + "".join(_line(row, [entry for entry in found if row in entry.rows]) for row in ROWS)


def _line(row: str, covering: Sequence[Entry]) -> str:
    files = Counter(file for file, _ in {(entry.file, entry.function) for entry in covering})
    tests = ", ".join(f"{file.removeprefix('tests/')} {count}" for file, count in sorted(files.items()))
    last = "; ".join(filter(None, (tests, NOT_FOR_US.get(row))))
    return f"| {row} | {ROWS[row]} | {', '.join(oracles(covering))} | {last} |\n"


def oracles(covering: Iterable[Entry]) -> list[str]:
    """The oracles of entries, each once, the live ones first."""
    return sorted({entry.oracle for entry in covering if entry.oracle in ORACLES}, key=ORACLES.index)


def text(found: Sequence[Entry], rows: Sequence[str]) -> str:
    """Rows with each of their tests, its oracle and the number of its cases; then the counts."""
    lines = []
    for row in rows:
        lines.append(f"{row}  {ROWS[row]}")
        cases = Counter((entry.oracle, entry.test) for entry in found if row in entry.rows)
        for (oracle, test), count in sorted(cases.items(), key=str):
            lines.append(f"    {oracle:<13} {test}" + (f" ({count} cases)" if count > 1 else ""))
        if row in NOT_FOR_US or not cases:
            lines.append(f"    {NOT_FOR_US.get(row, 'NO TEST')}")
    return "\n".join([*lines, "", summary(found)])


def summary(found: Sequence[Entry]) -> str:
    """How many rows have tests, and how many have one whose oracle runs beside us."""
    having = {row for entry in found for row in entry.rows} & ROWS.keys()
    alive = live(found)
    without = [row for row in ROWS if row not in having]
    seed = sum(row.startswith("S") for row in having)
    return (
        f"{seed} of 81 S rows and {len(having) - seed} of 30 H rows have tests, {len(alive)} against a live peer or the "
        f"kernel; {sum(row in NOT_FOR_US for row in without)} do not apply; without either: "
        f"{', '.join(missing(found)) or 'none'}"
    )


def missing(found: Iterable[Entry]) -> list[str]:
    """The rows that have neither a test nor a reason."""
    having = {row for entry in found for row in entry.rows} | NOT_FOR_US.keys()
    return [row for row in ROWS if row not in having]


def live(found: Iterable[Entry]) -> set[str]:
    """The rows with a test whose oracle is a peer or the kernel."""
    return {row for entry in found if entry.oracle in LIVE for row in entry.rows} & ROWS.keys()
