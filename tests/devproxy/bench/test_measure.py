"""What the figures mean, whatever the machine."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from devproxy.bench.bundle import do_nothing, write_bundle
from devproxy.bench.measure import Budget, Row, side_by_side, speed_row, time_row
from devproxy.build import build
from devproxy.check.outcomes import check_outcomes
from devproxy.host.probe import probe
from devproxy.launch import launch
from devproxy.oci.load import load
from devproxy.plan.planner import plan


def test_both_sides_take_turns_and_the_first_place_changes_hands() -> None:
    order: list[str] = []

    def ours() -> float:
        order.append("o")
        return 2.0

    def theirs() -> float:
        order.append("t")
        return 8.0

    pair = side_by_side(ours, theirs, 4)
    assert "".join(order) == "ot" + "ot" + "to" + "ot" + "to"
    assert pair == (2.0, 8.0, 0.25)


def test_the_ratio_is_the_median_of_pairs_so_that_a_slow_moment_counts_for_nothing() -> None:
    # Machine twice as slow in the later rounds, and one of ours disturbed: the ratio stays one half.
    mine, other = iter([9.0, 1.0, 1.0, 2.0, 50.0, 2.0]), iter([9.0, 2.0, 2.0, 4.0, 4.0, 4.0])
    assert side_by_side(lambda: next(mine), lambda: next(other), 5).ratio == 0.5


@pytest.mark.parametrize(
    ("budget", "figure", "verdict"),
    [
        (Budget(0.35), 0.3, "within"),
        (Budget(0.35), 0.36, "over"),
        (Budget(10, at_least=True), 11, "within"),
        (Budget(10, at_least=True), 9, "over"),
        (Budget(1), None, "not measured"),
    ],
)
def test_a_figure_is_within_its_budget_or_not(budget: Budget, figure: float | None, verdict: str) -> None:
    assert Row("x", "y", budget, figure=figure).verdict == verdict


def test_speeds_are_the_reverse_of_times() -> None:
    pair = side_by_side(lambda: 0.5, lambda: 1.0, 1)
    assert speed_row("x", "y", Budget(1, at_least=True), pair, 1000)[3:] == ("2,000/s", "1,000/s", 2.0, "")
    assert time_row("x", "y", Budget(1), pair)[3:] == ("500.00 ms", "1000.00 ms", 0.5, "")


@pytest.mark.root
def test_the_bundles_that_are_measured_do_what_they_say(tmp_path: Path) -> None:
    program = do_nothing()
    if program is None:
        pytest.skip("no program for this machine")
    bundle = write_bundle(str(tmp_path), program, binds=20, nodes=20)
    with build(plan(load(bundle), probe()), "kernel") as root:
        assert check_outcomes(root).ok
        assert len(root.listdir("/dev/bench")) == 20
        found = root.lstat("/dev/bench/7")
        assert stat.S_ISCHR(found.st_mode)
        assert found.st_rdev == os.makedev(1, 3)
        assert sum(line.mount_point.startswith("/binds/") for line in root.mountinfo()) == 20
        assert launch(root) == 0
