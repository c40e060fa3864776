"""Findings in words, as `doctor` and `check` print them."""

from __future__ import annotations

from devproxy.check.doctor.words import Told, together
from devproxy.check.finding import Report, Severity
from devproxy.cli.context import Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

_COLOURS: Final = {
    Severity.ERROR: "red",
    Severity.WARNING: "yellow",
    Severity.INCONCLUSIVE: "yellow",
    Severity.INFO: "",
}
_EVIDENCE: Final = 6


def print_findings(report: Report, context: Context) -> None:
    """Each finding, those that say the same of several devices as one, with an empty line before."""
    for codes, told in _unseen_alike(together(report.findings)):
        context.print()
        _print_finding(codes, told, context)


def print_verdict(report: Report, verdict: str, context: Context) -> None:
    """The last line, behind an empty one."""
    context.print()
    colour = "red" if report.errors else "yellow" if report.inconclusive else "green"
    context.print(context.style(verdict, "bold", colour))


def explain(code: str, context: Context, *, as_json: bool) -> int:
    """Print the page of a code, line by line as it stands. Errors: InputError if there is no such code."""
    from devproxy.check.doctor.pages import page

    text = page(code)
    if as_json:
        context.print_json({"code": code, "page": text})
        return 0
    for line in text.rstrip("\n").split("\n"):
        context.print(line)
    return 0


def list_codes(codes: Iterable[tuple[str, Severity, str]], context: Context, *, as_json: bool) -> int:
    """Print what is looked for: each code with its severity and what it means."""
    rows = sorted({(code, severity.value, title) for code, severity, title in codes})
    if as_json:
        context.print_json([{"code": code, "severity": severity, "means": title} for code, severity, title in rows])
    else:
        context.table(rows, ("CODE", "SEVERITY", "MEANS"))
    return 0


def tell_events(report: Report, context: Context) -> None:
    """The findings as events, where messages are JSON."""
    if context.json_messages:
        for finding in report.findings:
            context.found(finding, error=finding in report.errors)


def _unseen_alike(every: Iterable[Told]) -> list[tuple[str, Told]]:
    """What could not be seen for one and the same reason, once for all its codes; everything else by its own."""
    found: dict[tuple[object, ...], list[Told]] = {}
    for told in every:
        finding = told.finding
        unseen = finding.severity is Severity.INCONCLUSIVE
        key = (told.subjects, finding.why, finding.hint) if unseen else (finding.code, id(told))
        found.setdefault(key, []).append(told)
    return [(", ".join(told.finding.code for told in alike), alike[0]) for alike in found.values()]


def _print_finding(codes: str, told: Told, context: Context) -> None:
    finding = told.finding
    colour = _COLOURS[finding.severity]
    label = context.style(finding.severity.value, *(("bold", colour) if colour else ("bold",)))
    context.print(f"{label} {context.style(codes, 'bold')}: {told.subject}")
    each = " (the first of them)" if len(told.subjects) > 1 else ""
    lines = [("found", f"{finding.found}{each}"), ("expected", finding.expected), ("why", finding.why)]
    if finding.severity is Severity.INCONCLUSIVE:
        lines = [("not seen", finding.why)]
    for number, evidence in enumerate(finding.evidence[:_EVIDENCE]):
        lines.append(("" if number else "read", f"{evidence.source}: {evidence.value}"))
    if len(finding.evidence) > _EVIDENCE:
        lines.append(("", f"and {len(finding.evidence) - _EVIDENCE} more"))
    lines += [("do", finding.hint), ("known as", finding.reference)]
    for name, value in lines:
        if value:
            context.print(f"  {context.style(f'{name:9}', 'dim')} {value}")
