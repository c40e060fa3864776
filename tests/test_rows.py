"""The trace from row to test is whole: docs/rows.md is what collection finds, and markers name what exists."""

from __future__ import annotations

import pytest

from tests.trace import gather, listing
from tests.trace.gather import Entry
from tests.trace.table import NOT_FOR_US, ROWS

pytestmark = pytest.mark.programs


@pytest.fixture
def found(pytestconfig: pytest.Config, programs: None) -> list[Entry]:
    return gather.collected(pytestconfig)


def test_the_table_has_every_row_once() -> None:
    assert list(ROWS) == [f"S{number}" for number in range(1, 82)] + [f"H{number}" for number in range(1, 31)]
    assert len(set(ROWS.values())) == len(ROWS)
    assert NOT_FOR_US.keys() <= ROWS.keys()


def test_markers_name_rows_and_oracles_that_can_have_been_asked(found: list[Entry]) -> None:
    assert gather.mistakes(found) == []


def test_the_page_is_what_collection_finds(found: list[Entry]) -> None:
    assert listing.PAGE.read_text(encoding="utf-8") == listing.page(found), "run scripts/rows --write"


def test_every_row_has_tests_or_a_reason(found: list[Entry]) -> None:
    assert listing.missing(found) == []
    assert all(row.startswith("H") for row in NOT_FOR_US)  # 81 of 81 S rows have tests


def test_a_row_without_either_is_named() -> None:
    every = Entry("tests/x.py", "test_x", tuple(ROWS), "specification", ("rows",))
    assert listing.missing([every]) == []
    assert listing.missing([every._replace(rows=tuple(row for row in ROWS if row not in ("S7", "H28", "H4")))]) == [
        "S7",
        "H28",
    ]
    assert "| S7 | a device file gets its parents, its kind, and no second life |  |  |" in listing.page([])


def test_the_list_shows_tests_with_their_oracles_and_cases() -> None:
    case = Entry("tests/vfs/x.py", "test_x", ("S7", "S9"), "runc", ("peer", "rows"))
    other = case._replace(function="test_y", oracle="specification")
    found = [case, case, other]
    lines = listing.text(found, ["S7", "H4"]).splitlines()
    assert lines[1:3] == [
        "    runc          tests/vfs/x.py::test_x (2 cases)",
        "    specification tests/vfs/x.py::test_y",
    ]
    assert lines[4].strip() == NOT_FOR_US["H4"]
    assert listing.summary(found).startswith("2 of 81 S rows and 0 of 30 H rows have tests, 2 against a live peer")
    row = next(line for line in listing.page(found).splitlines() if line.startswith("| S9 |"))
    assert row.endswith("| runc, specification | vfs/x.py 2 |")


def test_a_live_oracle_covers_most_rows(found: list[Entry]) -> None:
    assert len(listing.live(found)) >= 60, listing.summary(found)


def test_a_peer_that_no_case_can_have_started_is_a_mistake() -> None:
    peer = Entry("tests/x.py", "test_x", ("S1",), "runc", ("peer", "rows"))
    alone = peer._replace(marks=("rows",))
    assert gather.mistakes([peer]) == gather.mistakes([peer, alone]) == []
    assert "no case of it can ask runc" in gather.mistakes([alone])[0]
    assert gather.mistakes([alone._replace(oracle="kernel")])
    assert gather.mistakes([alone._replace(oracle="kernel", file="tests/differential/test_x.py")]) == []
    assert gather.mistakes([alone._replace(oracle="specification")]) == []


def test_unknown_rows_and_oracles_are_mistakes() -> None:
    entry = Entry("tests/x.py", "test_x", ("S1",), "specification", ("rows",))
    for wrong in (
        entry._replace(rows=("S82",)),
        entry._replace(rows=()),
        entry._replace(oracle="me"),
        entry._replace(oracle=None),
    ):
        assert len(gather.mistakes([wrong])) == 1
