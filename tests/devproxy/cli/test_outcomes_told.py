"""What `run`, `verify` and `inspect` tell of outcomes, and what they do not put into words."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

import devproxy
from devproxy.cli.bundle import tell_outcomes
from devproxy.cli.context import Context
from devproxy.oci.configuration import Configuration
from devproxy.outcome import Outcome, Outcomes
from tests.bundles import runc_spec_like, write_bundle


@pytest.mark.parametrize(("verbosity", "notes"), [(-1, False), (0, False), (1, True)])
def test_only_what_is_told_is_put_into_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verbosity: int, notes: bool
) -> None:
    config = runc_spec_like()
    config["mounts"].append({"destination": "/odd", "type": "no-such-type", "source": "none"})
    plan = devproxy.plan(devproxy.load(write_bundle(tmp_path / "b", config)), devproxy.probe())
    described: list[str] = []
    describe = Outcome.describe

    def counting(outcome: Outcome) -> str:
        described.append(describe(outcome))
        return described[-1]

    err = io.StringIO()
    with devproxy.build(plan) as root:
        monkeypatch.setattr(Outcome, "describe", counting)
        tell_outcomes(root, Context(Configuration(), verbosity=verbosity, err=err))
        monkeypatch.undo()
    lines = [outcome.describe() for outcome in root.outcomes]
    warned = [line for line, outcome in zip(lines, root.outcomes, strict=True) if outcome.warning]
    assert len(warned) == 1
    assert described == (lines if notes else warned)
    told = err.getvalue().splitlines()
    assert [line for line in told if line.startswith("devproxy: note: ")] == [
        f"devproxy: note: {line}" for line in lines if notes and line not in warned
    ]
    warnings = [line for line in told if line.startswith("devproxy: warning: ")]
    assert [line.partition("  # ")[0] for line in warnings] == [
        f"devproxy: warning: {line}" for line in warned if verbosity >= 0
    ]


@pytest.mark.parametrize(("verbosity", "told"), [(0, False), (1, True)])
def test_no_outcome_is_made_where_there_is_nothing_to_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verbosity: int, told: bool
) -> None:
    plan = devproxy.plan(devproxy.load(write_bundle(tmp_path / "b", runc_spec_like())), devproxy.probe())
    asked: list[Outcomes] = []
    iterate = Outcomes.__iter__

    def counting(outcomes: Outcomes) -> Iterator[Outcome]:
        asked.append(outcomes)
        return iterate(outcomes)

    with devproxy.build(plan) as root:
        assert not any(outcome.warning for outcome in root.outcomes)
        monkeypatch.setattr(Outcomes, "__iter__", counting)
        err = io.StringIO()
        tell_outcomes(root, Context(Configuration(), verbosity=verbosity, err=err))
    assert bool(err.getvalue()) is told
    assert len(asked) == told
