"""What findings about GPUs' health tell, and that any answer of NVML's is judged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.check.doctor.case import Case
from devproxy.check.finding import Severity
from tests.devproxy.check.doctor.nvml_answers import (
    CHECKS,
    LOW,
    Document,
    asked,
    case,
    changed,
    every,
    findings,
    healthy,
    host_of,
    unswitched,
)
from tests.hosts.machine import Machine
from tests.hosts.make import cpu_only, hgx_h100, partitioned, without_driver


def test_severities_follow_what_it_means() -> None:
    def severity(code: str, document: Document, machine: Machine | None = None) -> Severity:
        return findings(code, document, machine)[0].severity

    assert severity("temperature-high", changed(temperature=92)) is Severity.ERROR
    assert severity("temperature-high", changed(temperature=91)) is Severity.WARNING
    assert severity("power-capped", changed(power_limit=500000, throttle=4)) is Severity.WARNING
    assert severity("power-capped", changed(power_limit=500000)) is Severity.INFO
    assert severity("nvlink-down", changed(nvlinks=LOW)) is Severity.ERROR
    assert severity("nvlink-down", changed(nvlinks=LOW), unswitched()) is Severity.WARNING
    pending = case(changed(remap_pending=True), before_job=True)
    assert next(iter(CHECKS["row-remap-pending"].run(pending))).severity is Severity.ERROR


def test_links_that_lead_nowhere_on_any_gpu_are_silent() -> None:
    assert findings("nvlink-down", every(nvlinks=LOW), unswitched()) == []
    assert findings("nvlink-down", every(nvlinks=[False] * 18), unswitched()) == []
    assert len(findings("nvlink-down", every(nvlinks=[False] * 18))) == 8


def test_memory_that_a_holder_has_is_not_nobodys() -> None:
    holder = {"name": "python3", "paths": ["/dev/nvidia4"], "pid": 4242, "started": 5, "uid": 1000}
    holders = {"complete": True, "holders": [holder], "unread": 0, "why": ""}
    document = changed(memory_used=9 << 30)
    assert findings("memory-in-use-while-idle", document, hgx_h100().fact("holders", holders)) == []


def test_reasons_to_slow_down_are_told_by_name() -> None:
    (finding,) = findings("throttled", changed(throttle=0x85))
    assert (finding.found, finding.reference) == ("power-brake", "DCGM_FR_CLOCK_THROTTLE_POWER")
    (finding,) = findings("throttled", changed(throttle=0xC8))
    assert (finding.found, finding.reference) == (
        "hw-slowdown, hw-thermal, power-brake",
        "DCGM_FR_CLOCK_THROTTLE_THERMAL",
    )


values = (
    st.none()
    | st.booleans()
    | st.integers(-2, 300)
    | st.just(1 << 40)
    | st.text(max_size=4)
    | st.lists(st.booleans(), max_size=3)
)


@pytest.mark.property
@given(
    st.sampled_from((hgx_h100, partitioned, cpu_only, without_driver)),
    st.sampled_from(("answered", "failed", "timeout", "no library")),
    st.lists(st.dictionaries(st.sampled_from(sorted(healthy()["gpus"][0])), values), max_size=8),
    st.lists(st.fixed_dictionaries({"call": st.sampled_from(("nvmlInitWithFlags", "nvmlDeviceGetUUID")), "code": values, "gpu": values})),
)  # fmt: skip
def test_any_answer_is_judged(make: Any, state: str, gpus: list[Document], errors: list[Document]) -> None:
    document = healthy() | {"state": state, "errors": errors}
    document["gpus"] = [gpu | change for gpu, change in zip(document["gpus"], gpus, strict=False)]
    for check in CHECKS.values():
        for finding in check.run(Case(asked(host_of(make), document))):
            assert finding.code == check.code
            assert finding.path
            assert finding.severity is Severity.INCONCLUSIVE or (finding.found and finding.expected)
