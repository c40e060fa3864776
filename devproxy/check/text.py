"""A report in words: one line a finding, and what was compared."""

from __future__ import annotations

from devproxy.check.finding import Report

HEADER = ("SEVERITY", "CODE", "PATH", "EXPECTED", "FOUND", "WHY")


def rows(report: Report) -> list[tuple[str, ...]]:
    """The findings as the rows of a table, under `HEADER`."""
    return [(f.severity.value, f.code, f.path, f.expected, f.found, f.why) for f in report.findings]


def compared(report: Report) -> str:
    """`9 mounts, 31 entries of /dev, ...`: what was looked at."""
    return ", ".join(f"{count} {what}" for what, count in report.compared) or "nothing"


def verdict(report: Report) -> str:
    """The last line: how it ended, in one sentence."""
    if report.errors:
        return f"not as it should be: {_count(len(report.errors), 'error')}"
    if report.inconclusive:
        return "inconclusive: not everything could be seen"
    return "verified: no differences"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
