"""A job as JUnit's XML: one suite of five tests, whose names stay from run to run.

    command         failed when the command did; says whether that was its fault
    health before   failed when the devices were bad before the command ran
    health after    failed when they are bad now
    left behind     passed; tells what the command left, and what became of it
    cleaned         failed when something of that is still there

What was not done, or could not be seen, is skipped.
"""

from __future__ import annotations

from devproxy.check.finding import Finding, Report, Severity
from devproxy.check.junit_elements import case, element, tag
from devproxy.jobs.job import result as phases
from devproxy.jobs.job.result import Hardware, Look, Result
from devproxy.jobs.job.verdict import LEFT, errors_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_SUITE: Final = "devproxy.job"
_TAIL: Final = 8 << 10


def junit_of(result: Result) -> bytes:
    """The file's bytes."""
    seconds = {phase.name: phase.seconds for phase in result.phases}
    inner = (
        ("command", _command(result), seconds.get(phases.COMMAND)),
        ("health before", _health(result.before), seconds.get(phases.BEFORE)),
        ("health after", _health(result.after), seconds.get(phases.AFTER)),
        ("left behind", _left(result), None),
        ("cleaned", _cleaned(result), seconds.get(phases.CLEAN)),
    )
    cases = [case(_SUITE, name, elements, took) for name, elements, took in inner]
    flat = "".join(cases)
    numbers = {
        "tests": str(len(cases)),
        "failures": str(flat.count("<failure")),  # texts have no such thing: they are escaped
        "errors": str(flat.count("<error")),
    }
    took = {"time": f"{result.seconds:.3f}"}
    suite = tag("testsuite", {"name": _SUITE, **numbers, "skipped": str(flat.count("<skipped")), **took})
    verdict = element("system-out", result.verdict.headline)
    lines = [tag("testsuites", {"name": "devproxy job", **numbers, **took}), suite, *cases, verdict, "</testsuite>"]
    return "\n".join(('<?xml version="1.0" encoding="UTF-8"?>', *lines, "</testsuites>", "")).encode()


def _command(result: Result) -> tuple[str, ...]:
    ended = result.ended
    if ended is None:
        return (element("skipped", "", message=f"not started: {result.verdict.headline}"),)
    texts = [("system-out", ended.out), ("system-err", ended.err)]
    written = tuple(element(name, _text(what.tail)) for name, what in texts if what.size)
    if ended.ok:
        return written
    whose = "hardware" if result.verdict.hardware is Hardware.BAD else "command"
    return element("failure", result.verdict.headline, message=ended.describe(), type=whose), *written


def _text(data: bytes) -> str:
    return data[-_TAIL:].decode(errors="backslashreplace")


def _health(look: Look | None) -> tuple[str, ...]:
    if look is None:
        return (element("skipped", "", message="nobody looked"),)
    errors = errors_of(look)
    if errors:
        told = "\n".join(line for finding in errors for line in lines_of(finding))
        return (element("failure", told, message=errors[0].describe(), type=errors[0].code),)
    unseen = [finding for finding in look.report.findings if finding.severity is Severity.INCONCLUSIVE]
    if unseen:
        told = "\n".join(finding.describe() for finding in unseen)
        return (element("skipped", told, message=f"inconclusive: {unseen[0].describe()}"),)
    others = "\n".join(finding.describe() for finding in look.report.findings)
    return (element("system-out", others),) if others else ()


def lines_of(finding: Finding) -> list[str]:
    """A finding, what was read, and what to do."""
    named = (("why", finding.why), *(("read", f"{each.source}: {each.value}") for each in finding.evidence))
    more = (*named, ("known as", finding.reference), ("do", finding.hint))
    return [finding.describe(), *(f"  {name}: {words}" for name, words in more if words)]


def _left(result: Result) -> tuple[str, ...]:
    if result.ended is None:
        return (element("skipped", "", message="the command was not started"),)
    report = result.after.report if result.after is not None else Report((), ())
    lines = [f"{each.what}: {each.done}" for each in result.left]
    lines += [finding.describe() for finding in report.findings if finding.code in LEFT]
    return (element("system-out", "\n".join(lines)),) if lines else ()


def _cleaned(result: Result) -> tuple[str, ...]:
    if result.ended is None:
        return (element("skipped", "", message="there was nothing to clean"),)
    stays = [f"{each.what}: {each.done}" for each in result.left if each.stays]
    if stays:
        return (element("failure", "\n".join(stays), message=stays[0], type="left-behind"),)
    problem = next(
        (
            phase
            for phase in result.phases
            if phase.name == phases.CLEAN and phase.words and phase.state is not phases.State.DONE
        ),
        None,
    )
    return (element("error", problem.words, message=problem.words, type=problem.state.value),) if problem else ()
