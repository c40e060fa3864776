"""`--log-format json`: what happens as JSON objects on standard error, one a line (docs/events.md).

Every event has `time` (RFC 3339, UTC, microseconds), `level` (error, warning, info, debug), `event` (its name) and `msg` (for
people); what else an event has depends on its name, and never changes its meaning.
"""

from __future__ import annotations

import time

from devproxy.check.finding import Finding
from devproxy.json_text import dumps
from devproxy.outcome import Outcome
from devproxy.plan.steps import Skip
from devproxy.timeline import Phase

Fields = dict[str, object]


def line(level: str, event: str, message: str, fields: Fields) -> str:
    """One event. Names may hold any bytes: what is not Unicode is shown escaped."""
    whole = {"time": _now(), "level": level, "event": event, "msg": message, **fields}
    return dumps({key: _clean(value) for key, value in whole.items()})


def milliseconds(nanoseconds: int) -> float:
    """As every duration is told: milliseconds, to the microsecond."""
    return round(nanoseconds / 1e6, 3)


def phase_fields(phase: Phase) -> Fields:
    """Of the event `phase`."""
    fields: Fields = {"phase": phase.name, "duration_ms": milliseconds(phase.nanoseconds)}
    if phase.parts:
        fields["parts"] = {part.name: milliseconds(part.nanoseconds) for part in phase.parts}
    return fields


def step_fields(number: int, outcome: Outcome, nanoseconds: int | None) -> Fields:
    """Of the event `step`; `number` counts from 1, as `devproxy plan` does."""
    step = outcome.step
    fields: Fields = {
        "number": number,
        "kind": type(step).__name__,
        "path": step.path,
        "step": step.what if isinstance(step, Skip) else step.describe(),
        "why": str(step.reason),
        "result": outcome.result.value,
        "found": outcome.found,
    }
    if outcome.aside:
        fields["aside"] = outcome.aside
    if nanoseconds is not None:
        fields["duration_ms"] = milliseconds(nanoseconds)
    return fields


def finding_fields(finding: Finding) -> Fields:
    """Of the event `finding`."""
    evidence = [each._asdict() for each in finding.evidence]
    return {**finding._asdict(), "severity": finding.severity.value, "evidence": evidence}


def _now() -> str:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds // 1000:06d}Z"


def _clean(value: object) -> object:
    """JSON's own way to write half of a surrogate pair is refused by many readers."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, list | tuple):
        return [_clean(each) for each in value]
    if isinstance(value, dict):
        return {key: _clean(each) for key, each in value.items()}
    return value
