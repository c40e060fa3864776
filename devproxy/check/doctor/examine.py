"""The doctor: every check of the catalogue on one case."""

from __future__ import annotations

from devproxy.check.doctor.case import Case
from devproxy.check.doctor.catalogue import CHECKS
from devproxy.check.doctor.symptoms import said
from devproxy.check.finding import Finding, Report, Severity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_ORDER: Final = (Severity.ERROR, Severity.INCONCLUSIVE, Severity.WARNING, Severity.INFO)


def examine(case: Case, *, judge_what_is_there: bool = False) -> Report:
    """What is wrong with a host. With `judge_what_is_there` (a bug report) what is not in it is nobody's fault: nothing is
    inconclusive.
    """
    findings = [finding for check in CHECKS for finding in check.run(case)]
    told = {finding.code for finding in findings if finding.severity is not Severity.INCONCLUSIVE}
    # What other programs said counts where the machine itself does not show it.
    findings += [finding for finding in said(case) if finding.code not in told]
    if judge_what_is_there:
        findings = [finding for finding in findings if finding.severity is not Severity.INCONCLUSIVE]
    ordered: list[Finding] = sorted(dict.fromkeys(findings), key=lambda finding: _ORDER.index(finding.severity))
    return Report(tuple(ordered), (("checks", len(CHECKS)),))
