"""`devproxy bench`: the figures of the budgets, measured side by side."""

from __future__ import annotations

import os
import platform
import signal
import sys

from devproxy.bench import file_systems, hosts, planning, roots
from devproxy.bench.measure import Row
from devproxy.cli.arguments import add_format_arguments, wants_json
from devproxy.cli.context import Context
from devproxy.launch.signals import Handling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import NoReturn

    from devproxy.cli.quick import Parser

_EXAMPLES = """\
examples:
  devproxy bench --quick           a first look, in about 20 seconds
  devproxy bench                   the figures, in about two minutes
  devproxy bench --json > figures.json

Both sides of a row run in turns, and the figure is the median of the pairs' ratios: how many times as fast, or how many
times as long, as the peer. As root, and with runc, crun and pyfakefs installed, every row is measured; a row that cannot be says
why.
"""

_HEADER = ("WHAT", "OURS", "PEER'S", "FIGURE", "BUDGET", "VERDICT", "PEER")


def add_arguments(parser: Parser) -> None:
    """Declare the verb's own arguments."""
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller cases")
    add_format_arguments(parser)
    parser.epilog = _EXAMPLES


def run(args: Namespace, context: Context) -> int:
    """Measure and print. A figure over its budget is told, but is no failure of this command: machines differ."""
    measured: list[Row] = []
    # A fork takes as long as this process has memory: roots come first, before it has what the others leave.
    with Handling((signal.SIGTERM, signal.SIGHUP), _end):
        for part in (roots, planning, hosts, file_systems):
            for row in part.rows(quick=args.quick):
                measured.append(row)
                context.note(f"{row.what}: {_figure(row)}")
    if wants_json(args, context):
        context.print_json({"machine": _machine(), "rows": [_document(row) for row in measured]})
        return 0
    context.print(", ".join(f"{name} {value}" for name, value in _machine().items()))
    context.print()
    context.table([_cells(row, context) for row in measured], _HEADER)
    return 0


def _end(number: int) -> NoReturn:
    """As Ctrl-C does: the directories that are measured in go."""
    sys.exit(128 + number)


def _machine() -> dict[str, str]:
    return {
        "Linux": platform.release(),
        "machine": platform.machine(),
        "CPUs": str(len(os.sched_getaffinity(0))),
        "Python": platform.python_version(),
    }


def _cells(row: Row, context: Context) -> tuple[str, ...]:
    colour = {"within": "green", "over": "red"}.get(row.verdict, "" if row.verdict == "-" else "yellow")
    verdict = context.style(row.verdict, colour)
    note = f"{verdict}: {row.note}" if row.note else verdict
    return (row.what, row.ours, row.theirs, _figure(row), str(row.budget or "-"), note, row.peer)


def _figure(row: Row) -> str:
    return "-" if row.figure is None else f"{row.figure:.2f}{row.budget.unit if row.budget else 'x'}"


def _document(row: Row) -> dict[str, object]:
    budget = None if row.budget is None else row.budget._asdict()
    return {**row._asdict(), "budget": budget, "verdict": row.verdict}
