"""Two recordings of a sound host with one change between them: what `check` says of it, counted."""

from __future__ import annotations

from functools import cache, partial
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devproxy.check.finding import Report
from devproxy.host.facts import Host
from devproxy.jobs.health import check
from devproxy.jobs.health.catalogue import OWN_CHECKS
from devproxy.jobs.health.expected import EXPECTED_CHECKS
from devproxy.jobs.quarantine import check_name
from devproxy.jobs.rules import to_quarantine
from tests.devproxy.check.doctor import totals
from tests.devproxy.check.doctor.edits import Edited
from tests.devproxy.jobs.health.mutations import ENTRY, HOLDER, MPS, SEGMENT, SOUND, Mutation, later, mutations


@cache
def sound(name: str) -> Edited:
    return Edited.of(SOUND[name])


@cache
def host(name: str) -> Host:
    return sound(name).host()


def checked(mutation: Mutation) -> Report:
    base = sound(mutation.base)
    before = mutation.before(base)
    then = host(mutation.base) if before is base else before.host()
    return check(later(mutation.after(base)).host(), before=then)


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}


@pytest.mark.parametrize("name", SOUND)
def test_a_host_to_which_nothing_happened_is_silent(name: str) -> None:
    report = check(later(sound(name)).host(), before=host(name))
    assert report.findings == ()
    assert dict(report.compared)["devices"] > 0


def test_every_mutation_is_told_by_its_code_and_no_other() -> None:
    every = mutations()
    assert len(every) >= 200
    wanted = right = told = 0
    words = []
    for each in every:
        found = codes(checked(each))
        wrong = found - each.codes - each.allowed
        wanted += len(each.codes)
        right += len(each.codes & found)
        told += len(each.codes & found) + len(wrong)
        if each.codes - found or wrong:
            words.append(f"{each.base}: {each.what}: expected {sorted(each.codes)}, found {sorted(found)}")
    totals.CHECKED.update(mutations=len(every), wanted=wanted, found=right, told=told)
    assert not words, "\n".join(words)


def test_every_code_of_its_own_is_told_by_a_mutation() -> None:
    """But those of expectations (test_expectations), and those that no pair of hosts has (test_codes)."""
    fired = {code for each in mutations() for code in each.codes}
    elsewhere = {check.code for check in EXPECTED_CHECKS} | {"no-accelerator", "check-timeout"}
    assert {check.code for check in OWN_CHECKS} - elsewhere <= fired


@cache
def apart() -> dict[str, list[Mutation]]:
    """Mutations of one host that may come together: of each kind of code one, that leaves what was before as it was."""
    quiet = [each for each in mutations() if len(each.codes) == 1 and each.before(sound(each.base)) is sound(each.base)]
    mixed = {"nvml-timeout", "device-lost-since", "driver-changed-since"}
    return {name: [each for each in quiet if each.base == name and not each.codes & mixed] for name in SOUND}


@pytest.mark.property
@settings(max_examples=60)
@given(st.data())
def test_changes_that_come_together_are_told_together(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(SOUND)))
    some = data.draw(st.lists(st.sampled_from(apart()[name]), max_size=5, unique_by=lambda each: min(each.codes)))
    edited = sound(name)
    for each in some:
        edited = each.after(edited)
    found = codes(check(later(edited).host(), before=host(name)))
    expected = {code for each in some for code in each.codes}
    assert expected <= found
    assert found <= expected | {code for each in some for code in each.allowed}


# whatever recordings say

ANYTHING: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 1 << 70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FACTS: Final = {
    "clock": ("boot", "realtime", "monotonic", "boottime"), "kernel_log": ("lines", "sequences", "span", "left_out", "complete"),
    "shared_memory": ("entries", "segments", "mps", "left_out"), "holders": ("holders", "complete", "why"),
    "nvml": ("state", "gpus", "errors", "driver", "device_count"),
}  # fmt: skip
ROWS: Final[dict[str, dict[str, Any]]] = {
    "entries": ENTRY, "segments": SEGMENT, "mps": MPS, "holders": {**HOLDER, "paths": ["/dev/nvidia0"]},
    "gpus": {"rank": 0, "address": "00000000:18:00.0", "compute_mode": 0, "mig_mode": False, "persistence": 1, "power_limit": 1},
}  # fmt: skip


@st.composite
def spoilt(draw: st.DrawFn) -> Edited:
    """The example's host with anything in some of its facts, or in the rows of their lists."""
    edited = sound("hgx")
    for name in draw(st.lists(st.sampled_from(sorted(FACTS)), max_size=3, unique=True)):
        key = draw(st.sampled_from(FACTS[name]))
        row = ROWS.get(key, {})
        value = draw(ANYTHING)
        in_a_row: bool = draw(st.booleans())
        if row and in_a_row:
            value = [{**row, draw(st.sampled_from(sorted(row))): value}, row]
        edited = edited.fact(name, partial(_put, key, value))
    return edited


def _put(key: str, value: object, document: dict[str, object]) -> None:
    document[key] = value


@pytest.mark.property
@settings(max_examples=80)
@given(spoilt(), spoilt())
def test_no_pair_of_recordings_makes_it_stumble(before: Edited, after: Edited) -> None:
    host, then = after.host(), before.host()
    report = check(host, before=then)
    assert report.exit_code in (0, 3, 4)
    for entry in to_quarantine(report, host, now=0.0, by=0, before=then):
        check_name(entry.name)
    assert check(host, before=then) == report
