"""Two things measured side by side, and what the figures come to.

Absolute times on a shared machine mean little: what counts is the ratio of two runs next to each other. So both sides
take turns, first the one, then the other, and the median of the pairs' ratios is the figure.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

from devproxy.record import Record

# Runs once and returns the seconds that count: what is set up and torn down around them does not.
Run = Callable[[], float]


class Budget(Record):
    """What a figure has to keep: `at most 0.35x`, `at least 10x`."""

    limit: float
    at_least: bool = False
    unit: str = "x"

    def __str__(self) -> str:
        return f"at {'least' if self.at_least else 'most'} {self.limit:g}{self.unit}"

    def keeps(self, figure: float) -> bool:
        """Whether a figure is within the budget."""
        return figure >= self.limit if self.at_least else figure <= self.limit


class Row(Record):
    """One figure. `ours` and `theirs` are what was measured, in words; `figure` is None when it could not be, and
    `note` says why. Without a budget it is shown for comparison.
    """

    what: str
    peer: str
    budget: Budget | None
    ours: str = "-"
    theirs: str = "-"
    figure: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """`within`, `over`, `-` without a budget, or `not measured`."""
        if self.figure is None:
            return "not measured"
        if self.budget is None:
            return "-"
        return "within" if self.budget.keeps(self.figure) else "over"


class Pair(Record):
    """Medians of both sides in seconds, and the median of the pairs' ratios of times, ours to theirs."""

    ours: float
    theirs: float
    ratio: float


def side_by_side(ours: Run, theirs: Run, rounds: int) -> Pair:
    """Run both, once for warmth and then in turns, the first place changing hands each round."""
    ours()
    theirs()
    times: list[tuple[float, float]] = []
    for number in range(rounds):
        if number % 2:
            second = theirs()
            times.append((ours(), second))
        else:
            first = ours()
            times.append((first, theirs()))
    return Pair(
        statistics.median(mine for mine, _ in times),
        statistics.median(other for _, other in times),
        statistics.median(mine / other for mine, other in times),
    )


def time_row(what: str, peer: str, budget: Budget | None, pair: Pair) -> Row:
    """A figure of times: how many times the peer's ours is."""
    return Row(what, peer, budget, duration(pair.ours), duration(pair.theirs), pair.ratio)


def speed_row(what: str, peer: str, budget: Budget | None, pair: Pair, operations: int) -> Row:
    """A figure of speeds, for runs of so many operations: how many times the peer's ours is."""
    return Row(what, peer, budget, rate(operations / pair.ours), rate(operations / pair.theirs), 1 / pair.ratio)


def duration(seconds: float) -> str:
    """`1.23 ms`."""
    return f"{seconds * 1e3:.2f} ms"


def rate(a_second: float) -> str:
    """`1,234,000/s`, in three digits that mean something."""
    return f"{float(f'{a_second:.3g}'):,.0f}/s"
