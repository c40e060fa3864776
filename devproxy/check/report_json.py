"""A report as plain values for JSON."""

from __future__ import annotations

from devproxy.check.finding import Report


def report_document(report: Report) -> dict[str, object]:
    """`{"verdict": ..., "findings": [...], "compared": {...}, "notes": [...]}`; `verdict` is `ok`, `error` or
    `inconclusive`.
    """
    verdict = "error" if report.errors else "inconclusive" if report.inconclusive else "ok"
    return {
        "verdict": verdict,
        "findings": [
            {
                **finding._asdict(),
                "severity": finding.severity.value,
                "evidence": [evidence._asdict() for evidence in finding.evidence],
            }
            for finding in report.findings
        ],
        "compared": dict(report.compared),
        "notes": list(report.notes),
    }
