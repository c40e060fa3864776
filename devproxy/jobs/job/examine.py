"""What is said of a host in the reports of a job."""

from __future__ import annotations

from devproxy.check.finding import Finding, Report, Severity


def said(report: Report) -> str:
    """`fine`, or the codes of what is wrong."""
    codes = dict.fromkeys(finding.code for finding in report.errors)
    if codes:
        return ", ".join(codes)
    return "inconclusive" if report.inconclusive else "fine"


def unseen(why: str) -> Report:
    """The report on a host that could not be looked at."""
    return Report((Finding("host-unseen", Severity.INCONCLUSIVE, "the host", "to be looked at", why),), ())
