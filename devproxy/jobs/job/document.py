"""A job as JSON: job.json and timings.json."""

from __future__ import annotations

import os
import time

import devproxy
from devproxy.check.report_json import report_document
from devproxy.jobs.job.artifacts import FORMAT
from devproxy.jobs.job.command import Ended
from devproxy.jobs.job.output import Written
from devproxy.jobs.job.result import Look, Phase, Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def job_document(result: Result) -> dict[str, object]:
    """`{"format": "devproxy-job/1", "state": "over", "verdict": {"fault", "hardware", "devices", "headline", "code"}, "command": {...},
    "lease": {...}, "check": {"before", "after", "cleaned"}, "difference", "left", "quarantined", "refused", "problems", "phases"}`. A
    check's value is `ok`, `error` or `inconclusive` with its findings, or null where there was none.
    """
    verdict, scope = result.verdict, result.scope
    return {
        "format": FORMAT,
        "state": "over",
        "devproxy": devproxy.__version__,
        "verdict": {
            **verdict._asdict(),
            "fault": verdict.fault.value,
            "hardware": verdict.hardware.value,
            "devices": list(verdict.devices),
        },
        "command": {"argv": list(result.asked.command), "bundle": result.asked.bundle or None} | _ended(result.ended),
        "lease": {"ident": scope.ident, "since": scope.since, "devices": [d._asdict() | {"kind": d.kind.value, "nodes": list(d.nodes)} for d in scope.devices]} if scope else None,
        "check": {name: _look(look) for name, look in (("before", result.before), ("after", result.after), ("cleaned", result.cleaned))},
        "difference": [line.text for line in result.difference.lines if not line.minor] if result.difference else None,
        "left": [left._asdict() for left in result.left],
        "quarantined": [entry._asdict() for entry in result.quarantined],
        "refused": [
            {"devices": sorted(refused.scope.names), **report_document(refused.report)} for refused in result.refused
        ],
        "problems": list(result.problems),
        "began": moment(result.began),
        **timings(result.phases),
    }  # fmt: skip


def timings(phases: Sequence[Phase]) -> dict[str, object]:
    """`{"seconds": 12.3, "phases": [{"name": "lease", "began": "2026-01-02T03:04:05.678Z", "seconds", "state", "words"}]}`."""
    listed = [
        {**phase._asdict(), "began": moment(phase.began), "seconds": round(phase.seconds, 6), "state": phase.state.value}
        for phase in phases
    ]  # fmt: skip
    return {"seconds": round(sum(phase.seconds for phase in phases), 6), "phases": listed}


def moment(seconds: float) -> str:
    """A time in UTC (RFC 3339), to the millisecond."""
    whole = int(seconds)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{int((seconds - whole) * 1000):03d}Z"


def _ended(ended: Ended | None) -> dict[str, object]:
    if ended is None:
        return {"ended": None}
    return {
        "ended": ended.how.value,
        "words": ended.describe(),
        "code": ended.code,
        "signal": ended.signal or None,
        "errno": os.strerror(ended.errno) if ended.errno else None,
        "interrupted": ended.interrupted or None,
        "began": moment(ended.began),
        "seconds": round(ended.seconds, 6),
        "stdout": _written(ended.out),
        "stderr": _written(ended.err),
    }


def _written(written: Written) -> dict[str, object]:
    return {"bytes": written.size, "lost": written.lost, "files": list(written.files)}


def _look(look: Look | None) -> dict[str, object] | None:
    return report_document(look.report) if look is not None else None
