"""NVML as a bug report tells of it: reports say a part."""

from __future__ import annotations

import pytest

from devproxy.check.doctor.case import Case
from devproxy.check.doctor.nvml import lost_gpus
from tests.devproxy.check.doctor.nvml_answers import (
    CHECKS,
    asked,
    case,
    failing,
    findings,
    healthy,
    host_of,
)
from tests.hosts.make import cpu_only, hgx_h100, without_driver


def test_a_report_without_proc_has_nothing_to_disagree_with() -> None:
    """Nor to tell whose index is which: what is not in it is unknown, not absent."""
    host = asked(host_of(without_driver), healthy())._replace(coverage=("/dev/*",))
    found = [finding.code for check in CHECKS.values() for finding in check.run(Case(host))]
    assert found == []


def test_an_index_by_some_of_the_gpus_is_none() -> None:
    host = asked(host_of(hgx_h100), healthy())
    assert len(list(CHECKS["minor-differs-from-index"].run(Case(host)))) == 2
    partly = host._replace(coverage=("/proc/driver/nvidia/gpus/*/information",))
    assert list(CHECKS["minor-differs-from-index"].run(Case(partly))) == []


@pytest.mark.parametrize("call", ["nvmlInit_v2", "nvmlInitWithFlags"])
def test_a_program_that_could_not_start_nvml_is_one_finding(call: str) -> None:
    document = {
        "state": "failed",
        "errors": [{"call": call, "code": 18, "name": "LIB_RM_VERSION_MISMATCH", "gpu": None}],
    }
    (finding,) = findings("nvml-error", document)
    assert finding.found == f"{call} says LIB_RM_VERSION_MISMATCH (18)"
    assert "driver-library-mismatch" in finding.why


def test_a_program_that_lost_a_gpu_is_no_other_error() -> None:
    error = {"call": "nvmlDeviceGetHandleByIndex_v2", "code": 15, "name": "GPU_IS_LOST", "gpu": None}
    document = {"state": "failed", "errors": [error]}
    assert findings("nvml-error", document) == []
    assert [finding.path for finding in lost_gpus(case(document))] == ["NVML"]


def test_a_report_that_does_not_tell_of_the_module_claims_nothing() -> None:
    host = asked(host_of(cpu_only), failing("DRIVER_NOT_LOADED", 9))._replace(coverage=("/dev/*",))
    (finding,) = CHECKS["nvml-error"].run(Case(host))
    assert "may not be loaded" in finding.why
    assert {evidence.source for evidence in finding.evidence} == {"facts/nvml.json"}
