"""A job as Markdown, for GitHub's step summary (GitHub Flavored Markdown): the verdict, the evidence, what changed, the timings."""

from __future__ import annotations

import shlex

from devproxy.jobs.job.result import Fault, Hardware, Result
from devproxy.jobs.job.verdict import errors_of, named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

_MARKS: Final = {Fault.NOBODY: "\N{WHITE HEAVY CHECK MARK}", Fault.UNKNOWN: "\N{WARNING SIGN}"}
_RED: Final = "\N{CROSS MARK}"
_MOST: Final = 40
_LONGEST: Final = 2000
# Every one of these means what it is behind a backslash (GFM 6.1, "Backslash escapes").
_PUNCTUATION: Final = frozenset("!\"#$%'()*+,-./:;=>?@[\\]^_`{|}~")


def markdown_of(result: Result) -> str:
    """The summary."""
    verdict, scope = result.verdict, result.scope
    devices = scope.devices if scope else ()
    mark = _MARKS.get(verdict.fault, _RED)
    if verdict.fault is Fault.NOBODY and verdict.hardware is Hardware.UNKNOWN:
        mark = _MARKS[Fault.UNKNOWN]
    parts = [f"### {mark} {escape(verdict.headline)}", ""]
    command = escape(shlex.join(result.asked.command) or f"devproxy run {result.asked.bundle}")
    rows = [
        ("Command", command),
        ("Ended", escape(result.ended.describe()) if result.ended else "not started"),
        ("Hardware", verdict.hardware.value),
        ("Devices", ", ".join(escape(f"{each.kind.value} {each.rank} ({each.name})") for each in devices) or "none"),
        ("Left behind", escape(_left(result))),
        ("Quarantined", ", ".join(escape(entry.name) for entry in result.quarantined) or "none"),
        ("Exit code", str(verdict.code)),
    ]
    parts += _table(("", ""), rows)
    errors = errors_of(result.after or result.before)
    if errors:
        evidence = [
            (each.code, named(each, devices), f"{each.found}, expected {each.expected}", each.hint) for each in errors
        ]
        parts += ["", "#### Evidence", "", *_table(("Code", "Device", "Found", "What to do"), _escaped(evidence))]
    changed = [line.text for line in result.difference.lines if not line.minor] if result.difference else []
    if changed:
        more = [f"- and {len(changed) - _MOST} more"] if len(changed) > _MOST else []
        parts += ["", "#### What changed", "", *(f"- {escape(text)}" for text in changed[:_MOST]), *more]
    parts += ["", "<details><summary>Timings</summary>", ""]
    timings = [(phase.name, f"{phase.seconds:.2f} s", f"{phase.state.value} {phase.words}") for phase in result.phases]
    parts += [*_table(("Phase", "Took", ""), _escaped(timings)), "", "</details>", ""]
    return "\n".join(parts)


def _left(result: Result) -> str:
    if not result.left:
        return "nothing" if result.ended else "nothing was started"
    return ", ".join(f"{each.what}: {each.done}" for each in result.left[:_MOST])


def escape(text: str) -> str:
    """A text that is nothing but text: on one line, without mark-up, in a cell of a table too."""
    shown = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text[:_LONGEST]
    )
    shown = "".join(f"\\{c}" if c in _PUNCTUATION else c for c in shown)
    return shown.replace("&", "&amp;").replace("<", "&lt;")


def _escaped(rows: Iterable[Sequence[str]]) -> list[Sequence[str]]:
    return [[escape(cell) for cell in row] for row in rows]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]
