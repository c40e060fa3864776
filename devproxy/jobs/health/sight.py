"""What a check of a job's hardware had to see and could not: never silence."""

from __future__ import annotations

from devproxy.check.doctor.case import unknown
from devproxy.check.finding import Finding, Report, Severity
from devproxy.host.nvml_facts import NvmlState
from devproxy.jobs.health.case import JobCase, units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_TELLING = ("nvml-error", "nvml-timeout")


def no_accelerator(case: JobCase) -> Iterator[Finding]:
    """There is nothing whose health could be told, and nobody said that there should be nothing."""
    expected = case.expect is not None and (case.expect.gpu_count == 0 or case.expect.tpu_count == 0)
    if units(case.host) or case.host.accelerators or expected:
        return
    if case.before is not None and units(case.before):
        return  # `device-lost-since` tells of each
    yield unknown(
        "no-accelerator", "/sys/bus/pci/devices", "this host has no accelerator that can be seen from here"
    )._replace(hint="devproxy doctor; 'count = 0' in the expectations says that there is none")


def check_timeout(case: JobCase) -> Iterator[Finding]:
    """A case is of a host that told everything in time: `too_late` is the report of another."""
    del case
    return iter(())


def too_late(why: str) -> Report:
    """The report on a host that did not tell everything in time: nothing is known of it."""
    finding = unknown("check-timeout", "host", why)
    hint = "ps -eo pid,stat,wchan:32,cmd | awk '$2 ~ /D/' shows who hangs; journalctl -k -g 'NVRM|Xid|hung'"
    return Report((finding._replace(hint=hint),), (("checks", 1),))


def unseen_codes(case: JobCase, found: Iterable[Finding], codes: frozenset[str]) -> Iterator[Finding]:
    """The codes that only NVML can tell, where it did not answer and no finding says so (`--only`)."""
    gpus = case.host.nvidia.gpus if case.host.nvidia is not None else ()
    if not gpus or case.now.nvml.state is NvmlState.ANSWERED:
        return
    if any(each.code in _TELLING and each.severity is not Severity.INFO for each in found):
        return
    why = f"NVML: {case.now.nvml.state.value}" + (f": {case.now.nvml.why}" if case.now.nvml.why else "")
    for code in sorted(codes):
        yield unknown(code, "NVML", why)
