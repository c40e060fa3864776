"""`--timings`: where the time went, as a table for people."""

from __future__ import annotations

from devproxy.timeline import Phase, Timeline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

DEAREST: Final = 10
"""How many steps are shown."""

_WIDTH: Final = 100


def table(timeline: Timeline) -> list[str]:
    """The phases with their parts and shares, and the dearest steps."""
    lines = [_row("phase", "ms", "share")]
    for phase in timeline.phases:
        lines.append(_phase(phase, timeline.total, ""))
        lines += [_phase(part, timeline.total, "  ") for part in phase.parts]
    lines.append(_phase(Phase("together", timeline.total), timeline.total, ""))
    dearest = sorted(enumerate(timeline.steps, 1), key=lambda each: -each[1].nanoseconds)[:DEAREST]
    if dearest:
        of = sum(each.nanoseconds for each in timeline.steps)
        count = len(timeline.steps)
        lines += ["", f"the dearest of {count} steps" if count > DEAREST else f"the {count} steps, the dearest first"]
        lines.append(f"{'step':>6}{'ms':>10}{'share':>8}  what  # why")
        for number, (step, nanoseconds) in dearest:
            told = f"{_cut(step.describe())}  # {step.reason}"
            lines.append(f"{number:>6}{nanoseconds / 1e6:>10.3f}{_share(nanoseconds, of):>8}  {told}")
    return lines


def _phase(phase: Phase, total: int, indent: str) -> str:
    return _row(indent + phase.name, f"{phase.nanoseconds / 1e6:.2f}", _share(phase.nanoseconds, total))


def _row(name: str, cost: str, share: str) -> str:
    return f"{name:<14}{cost:>10}{share:>8}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."
