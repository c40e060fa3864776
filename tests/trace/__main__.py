"""scripts/rows [--write | --json] [ROW...]: every row with its tests, or the reason it has none."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys

import pytest

from tests.trace import gather, listing
from tests.trace.table import ROWS


class _Collector:
    """A plugin that keeps what the session collects before anything is left out."""

    def __init__(self) -> None:
        self.entries: list[gather.Entry] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self.entries = gather.entries(items)


def _collect() -> list[gather.Entry]:
    collector = _Collector()
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = pytest.main(["--collect-only", "-qqq", "-p", "no:cacheprovider", str(gather.TESTS)], [collector])
    if code != pytest.ExitCode.OK:
        sys.exit(f"{said.getvalue()}\nerror: pytest could not collect every test (exit code {code})")
    return collector.entries


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/rows", description="list the rows with their tests")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="S1 to S81, H1 to H30 (default: all)")
    parser.add_argument("--write", action="store_true", help=f"write {listing.PAGE.name} anew as well")
    parser.add_argument("--json", action="store_true", help="one entry a marker and test case")
    arguments = parser.parse_args()
    unknown = [row for row in arguments.rows if row not in ROWS]
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}; there are S1 to S81 and H1 to H30")
    found = _collect()
    if arguments.json:
        json.dump(found, sys.stdout)
        return 0
    if arguments.write:
        listing.PAGE.write_text(listing.page(found), encoding="utf-8")
    sys.stdout.write(listing.text(found, arguments.rows or list(ROWS)) + "\n")
    wrong = gather.mistakes(found)
    sys.stderr.writelines(f"{line}\n" for line in wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
