"""A report as JUnit's XML, for the test pages of CI systems (the form of Jenkins' xunit plugin, junit-10.xsd).

    <testsuites name="devproxy verify" tests="3" failures="1" errors="0">
      <testsuite name="devproxy.verify" tests="3" failures="1" errors="0" skipped="1" hostname="h100.tar">
        <testcase classname="devproxy.verify.node-number-wrong" name="/dev/nvidia0"><failure message="...">...</failure></testcase>
        <testcase classname="devproxy.verify.unreadable" name="/dev/vfio"><skipped message="..."/></testcase>
        <testcase classname="devproxy.verify.compared" name="mounts"><system-out>12 compared</system-out></testcase>
      </testsuite>
    </testsuites>

A finding is a test: an error failed, what could not be seen was skipped, a warning passed and says what it is. What was
compared, and each check that found nothing, is a test that passed; when nothing was compared, that is an error. The names stay
from run to run, so that a CI system shows since when one fails. The same report gives the same bytes.
"""

from __future__ import annotations

from devproxy.check.finding import Finding, Report, Severity
from devproxy.check.junit_elements import case, element, tag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

_INDENT: Final = "  "


def junit_document(verb: str, report: Report, *, host: str = "", checks: Iterable[str] = ()) -> bytes:
    """The file's bytes. `verb` names the suite (`verify`), `checks` are the codes of all that was looked for, `host` is the
    machine's name, which Jenkins shows beside the suite.
    """
    suite = f"devproxy.{verb}"
    found = {finding.code for finding in report.findings}
    cases = [_of_finding(suite, finding) for finding in report.findings]
    cases += [case(f"{suite}.{code}", code, ()) for code in dict.fromkeys(checks) if code not in found]
    cases += [
        case(f"{suite}.compared", what, (element("system-out", f"{number} compared"),))
        for what, number in report.compared
    ]
    if not report.compared:
        nothing = element("error", "nothing was compared", message="nothing was compared", type="inconclusive")
        cases.append(case(f"{suite}.compared", "compared", (nothing,)))
    numbers = {
        "tests": str(len(cases)),
        "failures": str(len(report.errors)),
        "errors": str(int(not report.compared)),
    }
    skipped = sum(finding.severity is Severity.INCONCLUSIVE for finding in report.findings)
    named = {"hostname": host} if host else {}
    opening = tag("testsuite", {"name": suite, **numbers, "skipped": str(skipped), **named})
    notes = [element("system-out", "\n".join(report.notes))] if report.notes else []
    inner = [opening, *(_INDENT + line for line in (*cases, *notes)), "</testsuite>"]
    lines = [tag("testsuites", {"name": f"devproxy {verb}", **numbers}), *(_INDENT + line for line in inner)]
    text = "\n".join(('<?xml version="1.0" encoding="UTF-8"?>', *lines, "</testsuites>", ""))
    return text.encode()


def _of_finding(suite: str, finding: Finding) -> str:
    """One finding as a test. Its words go into the message, what was read and what to do into the text."""
    lines = [finding.describe()]
    lines += [f"{name}: {words}" for name, words in _more(finding) if words]
    message = f"{finding.found}, expected {finding.expected}"
    text = "\n".join(lines)
    if finding.severity is Severity.ERROR:
        inner = element("failure", text, message=message, type=finding.code)
    elif finding.severity is Severity.INCONCLUSIVE:
        inner = element("skipped", text, message=f"inconclusive: {message}")
    else:
        inner = element("system-out", f"{finding.severity.value}: {text}")
    return case(f"{suite}.{finding.code}", finding.path or finding.code, (inner,))


def _more(finding: Finding) -> Sequence[tuple[str, str]]:
    evidence = tuple(("read", f"{each.source}: {each.value}") for each in finding.evidence)
    return (("why", finding.why), *evidence, ("reference", finding.reference), ("hint", finding.hint))
