"""The doctor: every check of the catalogue on one case."""

from __future__ import annotations

from devproxy.check.doctor.case import Case
from devproxy.check.doctor.catalogue import CHECKS
from devproxy.check.doctor.symptoms import said
from devproxy.check.finding import Finding, Report, Severity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from devproxy.host.facts import Host
    from devproxy.oci.spec import Spec

_ORDER: Final = (Severity.ERROR, Severity.INCONCLUSIVE, Severity.WARNING, Severity.INFO)


def doctor(host: Host, spec: Spec | None = None) -> Report:
    """What is wrong with a host, and with what a bundle asks of it: coded findings with their evidence and remedy.

    The host should be one of a deep probe (`devproxy.probe(deep=True)`): what a plain one lacks is inconclusive.
    """
    return examine(Case(host, spec))


def examine(
    case: Case, *, judge_what_is_there: bool = False, only: Sequence[str] = (), skip: Sequence[str] = ()
) -> Report:
    """What is wrong with a host. With `judge_what_is_there` (a bug report) what is not in it is nobody's fault: nothing is
    inconclusive. `only` and `skip` are codes.
    """
    checks = [check for check in CHECKS if _is_wanted(check.code, only, skip)]
    findings = [finding for check in checks for finding in check.run(case)]
    told = {finding.code for finding in findings if finding.severity is not Severity.INCONCLUSIVE}
    # What other programs said counts where the machine itself does not show it.
    findings += [each for each in said(case) if each.code not in told and _is_wanted(each.code, only, skip)]
    if judge_what_is_there:
        findings = [finding for finding in findings if finding.severity is not Severity.INCONCLUSIVE]
    ordered: list[Finding] = sorted(dict.fromkeys(findings), key=lambda finding: _ORDER.index(finding.severity))
    return Report(tuple(ordered), (("checks", len(checks)),))


def _is_wanted(code: str, only: Sequence[str], skip: Sequence[str]) -> bool:
    return (not only or code in only) and code not in skip
