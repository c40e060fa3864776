"""A job as GitHub's runner reads it from the log: workflow commands, and the step's summary.

The runner (actions/runner, ActionCommand.cs) takes a line that begins with `::NAME KEY=VALUE,KEY=VALUE::DATA` for a command, and
the older form `##[NAME KEY=VALUE;]DATA` wherever it stands in a line. Data ends with the line; `%`, CR and LF in it are written as %25,
%0D and %0A, in properties `:` and `,` too. What a command writes is passed on as it is, between `::stop-commands::TOKEN` and
`::TOKEN::`, where the runner takes nothing for a command.
"""

from __future__ import annotations

from devproxy.jobs.job.result import Fault, Hardware, Refused, Result
from devproxy.jobs.job.verdict import errors_of, named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.check.finding import Finding

# GitHub shows ten of a kind for each step.
_MOST: Final = 10
_LONGEST: Final = 4000


def escape_data(text: str) -> str:
    """A message, on one line."""
    return _encoded(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """A property's value."""
    return escape_data(text).replace(":", "%3A").replace(",", "%2C")


def annotation(kind: str, title: str, message: str) -> str:
    """The line for an `error`, `warning` or `notice`."""
    return f"::{kind} title={escape_property(title)}::{escape_data(message[:_LONGEST])}"


def harmless(line: str) -> str:
    """A line that begins with a word of ours, and in which nothing is a command of the older form."""
    return line.replace("##[", "# #[")


def stop_commands(token: str) -> str:
    """The line after which nothing is a command. `token` must be one that nobody can guess."""
    return f"::stop-commands::{token}"


def resume_commands(token: str) -> str:
    """The line that ends that."""
    return f"::{token}::"


def annotate(result: Result) -> list[str]:
    """The lines that say whose fault it is; none where all is well and was from the beginning."""
    verdict = result.verdict
    devices = result.scope.devices if result.scope else ()
    errors = errors_of(result.after or result.before)
    lines = [_refused(refused) for refused in result.refused[:_MOST]]
    if verdict.fault is Fault.NOBODY:
        if verdict.hardware is not Hardware.FINE:
            lines.append(annotation("warning", "hardware unknown", verdict.headline))
        return lines
    lines.append(annotation("error", _TITLES[verdict.fault], verdict.headline))
    lines += [annotation("error", f"hardware: {named(each, devices)}", _told(each)) for each in errors[: _MOST - 1]]
    return lines


def _refused(refused: Refused) -> str:
    told = "\n".join(finding.describe() for finding in refused.report.errors)
    names = ", ".join(sorted(refused.scope.names))
    return annotation("warning", f"hardware: {names} was bad, and was given back for another", told)


_TITLES: Final = {
    Fault.COMMAND: "the command failed",
    Fault.HARDWARE: "the hardware failed",
    Fault.DEVPROXY: "devproxy failed",
    Fault.CALLER: "interrupted",
    Fault.UNKNOWN: "unknown",
}


def _told(finding: Finding) -> str:
    lines = [finding.describe(), finding.why, *(f"{each.source}: {each.value}" for each in finding.evidence[:4])]
    return "\n".join(line for line in (*lines, finding.hint) if line)


def _encoded(text: str) -> str:
    """A text that UTF-8 can write."""
    return text.encode(errors="backslashreplace").decode()
