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
    cases += [_case(f"{suite}.{code}", code, ()) for code in dict.fromkeys(checks) if code not in found]
    cases += [
        _case(f"{suite}.compared", what, (_element("system-out", f"{number} compared"),))
        for what, number in report.compared
    ]
    if not report.compared:
        nothing = _element("error", "nothing was compared", message="nothing was compared", type="inconclusive")
        cases.append(_case(f"{suite}.compared", "compared", (nothing,)))
    numbers = {
        "tests": str(len(cases)),
        "failures": str(len(report.errors)),
        "errors": str(int(not report.compared)),
    }
    skipped = sum(finding.severity is Severity.INCONCLUSIVE for finding in report.findings)
    named = {"hostname": host} if host else {}
    opening = _tag("testsuite", {"name": suite, **numbers, "skipped": str(skipped), **named})
    notes = [_element("system-out", "\n".join(report.notes))] if report.notes else []
    inner = [opening, *(_INDENT + line for line in (*cases, *notes)), "</testsuite>"]
    lines = [_tag("testsuites", {"name": f"devproxy {verb}", **numbers}), *(_INDENT + line for line in inner)]
    text = "\n".join(('<?xml version="1.0" encoding="UTF-8"?>', *lines, "</testsuites>", ""))
    return text.encode()


def _of_finding(suite: str, finding: Finding) -> str:
    """One finding as a test. Its words go into the message, what was read and what to do into the text."""
    lines = [finding.describe()]
    lines += [f"{name}: {words}" for name, words in _more(finding) if words]
    message = f"{finding.found}, expected {finding.expected}"
    text = "\n".join(lines)
    if finding.severity is Severity.ERROR:
        inner = _element("failure", text, message=message, type=finding.code)
    elif finding.severity is Severity.INCONCLUSIVE:
        inner = _element("skipped", text, message=f"inconclusive: {message}")
    else:
        inner = _element("system-out", f"{finding.severity.value}: {text}")
    return _case(f"{suite}.{finding.code}", finding.path or finding.code, (inner,))


def _more(finding: Finding) -> Sequence[tuple[str, str]]:
    evidence = tuple(("read", f"{each.source}: {each.value}") for each in finding.evidence)
    return (("why", finding.why), *evidence, ("reference", finding.reference), ("hint", finding.hint))


def _case(classname: str, name: str, inner: tuple[str, ...]) -> str:
    return f"{_tag('testcase', {'classname': classname, 'name': name})}{''.join(inner)}</testcase>"


def _element(name: str, text: str, **attributes: str) -> str:
    return f"{_tag(name, attributes)}{_escaped(text)}</{name}>"


def _tag(name: str, attributes: dict[str, str]) -> str:
    shown = "".join(f' {key}="{_escaped(value)}"' for key, value in attributes.items())
    return f"<{name}{shown}>"


_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def _escaped(text: str) -> str:
    """A text as XML 1.0 can hold it (production 2, Char): what it cannot is shown as in Python. Tabs and ends of lines are
    written as references, which attributes keep.
    """
    return "".join(_character(character) for character in text)


def _character(character: str) -> str:
    if character in _ENTITIES:
        return _ENTITIES[character]
    if character in "\t\n\r":
        return f"&#{ord(character)};"
    if character < " " or "\ud800" <= character <= "\udfff" or character in "\ufffe\uffff" or character == "\x7f":
        return character.encode("unicode_escape", "surrogatepass").decode("ascii")
    return character
