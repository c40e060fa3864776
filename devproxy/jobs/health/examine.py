"""Every check of a job's hardware, on one case."""

from __future__ import annotations

from devproxy.check.finding import Finding, Report, Severity
from devproxy.jobs.health.case import JobCase, is_of, owner, units
from devproxy.jobs.health.catalogue import JOB_CHECKS, NVML_CODES
from devproxy.jobs.health.sight import unseen_codes
from devproxy.jobs.scope import Scope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from devproxy.host.facts import Host
    from devproxy.jobs.health.case import Unit
    from devproxy.jobs.health.expectations import Expectations

_ORDER: Final = (Severity.ERROR, Severity.INCONCLUSIVE, Severity.WARNING, Severity.INFO)


def check(
    host: Host,
    *,
    before: Host | None = None,
    expect: Expectations | None = None,
    since: float | None = None,
    devices: Scope | frozenset[str] | None = None,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
) -> Report:
    """How a host's accelerators are: by themselves, against `expect`, and against `before`, the same host before a job.

    Hosts should be those of deep probes. `since` (seconds since the epoch) is when the job began, for the kernel's log where there
    is no `before`. `devices` are those that the job had: their names, or its lease's scope, which also says whose it was. Findings
    of other devices are left out, and named in the report's notes. `only` and `skip` are codes; they win over what `expect` says.
    """
    case = JobCase(host, before, expect, since)
    if isinstance(devices, Scope):
        began = devices.since if since is None else since
        case = case._replace(since=began, devices=devices.names, ident=devices.ident, uid=devices.uid)
    else:
        case = case._replace(devices=devices)
    wanted = wanted_codes(expect, only, skip)
    found = [finding for each in JOB_CHECKS if each.code in wanted for finding in each.run(case)]
    found += unseen_codes(case, found, wanted & NVML_CODES)
    own, others = _scoped(case, found)
    ordered = sorted(dict.fromkeys(own), key=lambda finding: _ORDER.index(finding.severity))
    compared = (("checks", len(wanted)), ("devices", sum(is_of(unit, case.devices) for unit in units(host))))
    return Report(tuple(ordered), compared, _notes(case, others))


def wanted_codes(expect: Expectations | None, only: Sequence[str], skip: Sequence[str]) -> frozenset[str]:
    """The codes that are looked for."""
    switched_off = {code for code, on in (expect.checks if expect else ()) if not on}
    every = {each.code for each in JOB_CHECKS}
    return frozenset((set(only) & every if only else every - switched_off) - set(skip))


def _scoped(case: JobCase, findings: list[Finding]) -> tuple[list[Finding], list[Finding]]:
    """The findings of the devices in question and of the host, and those of other devices."""
    if case.devices is None:
        return findings, []
    every = (*units(case.host), *(units(case.before) if case.before is not None else ()))
    strange = _of_other_vendors(case, every)
    own: list[Finding] = []
    others: list[Finding] = []
    for finding in findings:
        unit = owner(finding.path, every)
        ours = finding.path not in strange if unit is None else is_of(unit, case.devices)
        (own if ours else others).append(finding)
    return own, others


def _of_other_vendors(case: JobCase, every: Sequence[Unit]) -> frozenset[str]:
    """The PCI functions that are nothing to the job's devices: an NPU without a driver, where it has GPUs."""
    ours = {unit.address for unit in every if is_of(unit, case.devices)}
    functions = (*case.host.pci, *(case.before.pci if case.before is not None else ()))
    vendors = {function.vendor for function in functions if function.address in ours}
    return frozenset(function.address for function in functions if vendors and function.vendor not in vendors)


def _notes(case: JobCase, others: list[Finding]) -> tuple[str, ...]:
    if case.devices is None:
        return ()
    told = f"looked at for {', '.join(sorted(case.devices)) or 'no device'}"
    if not others:
        return (told,)
    words = ", ".join(dict.fromkeys(f"{finding.path} {finding.code}" for finding in others))
    return (told, f"not this job's, of other devices: {words}")
