"""What phases, parts and steps cost, by a clock that ticks as told."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

import devproxy
from devproxy.build import build
from devproxy.plan.planner import plan
from devproxy.plan.steps import Level, Reason, Skip
from devproxy.timeline import Phase, Timeline
from tests.bundles import runc_spec_like, write_bundle


def test_a_phase_ends_where_the_next_begins_and_its_parts_are_all_of_it() -> None:
    told: list[Phase] = []
    now = iter((100, 130, 200, 207, 220, 300, 310))
    timeline = Timeline(told.append, lambda: next(now))
    timeline.done("load")
    timeline.begin_parts()
    timeline.part("sources")
    timeline.part("steps")
    timeline.done("build", rest="target")
    timeline.done("check")
    parts = (Phase("target", 150), Phase("sources", 7), Phase("steps", 13))
    assert timeline.phases == told == [Phase("load", 30), Phase("build", 170, parts), Phase("check", 10)]
    assert timeline.total == 210


def test_a_clock_of_another_namespace_makes_no_part_negative() -> None:
    timeline = Timeline(clock=count(step=10).__next__)
    timeline.take(([("steps", 1 << 40)], []), [])
    timeline.done("build", rest="target")
    assert [part.name for part in timeline.phases[0].parts] == ["target", "steps"]
    assert timeline.phases[0].parts[0].nanoseconds == 0


def test_steps_and_durations_belong_together() -> None:
    step = Skip("/", "x", Level.NOTE, Reason("x"))
    with pytest.raises(ValueError, match="zip"):
        Timeline().take(([], [1, 2]), [step])


@pytest.mark.parametrize("target", ["memory", pytest.param("kernel", marks=pytest.mark.root)])
def test_every_step_is_timed_and_nothing_else_changes(target: str, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", runc_spec_like())
    made = plan(devproxy.load(bundle), devproxy.probe())
    timeline = devproxy.Timeline()
    with build(made, target, timeline=timeline) as root, build(made, target) as other:
        assert root.outcomes == other.outcomes
    assert [step for step, _ in timeline.steps] == list(made.steps)
    [phase] = timeline.phases
    assert phase.name == "build"
    assert [part.name for part in phase.parts] == ["target", "sources", "steps", "finish"]
    assert sum(part.nanoseconds for part in phase.parts) == phase.nanoseconds
    steps = phase.parts[2].nanoseconds
    assert 0 < sum(each.nanoseconds for each in timeline.steps) <= steps
