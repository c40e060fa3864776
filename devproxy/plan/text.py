"""A plan for people: one line a step, what it does and why."""

from __future__ import annotations

from devproxy.plan.plan import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def plan_lines(plan: Plan) -> Iterator[str]:
    """One line a step: `mount tmpfs at /tmp [mode=01777] when_empty(/tmp)  # rule: internal /tmp`."""
    for step in plan.steps:
        yield _printable(f"{step.describe()}  # {step.reason}")


def to_text(plan: Plan) -> str:
    """The lines of a plan, each with its newline."""
    return "".join(f"{line}\n" for line in plan_lines(plan))


def _printable(line: str) -> str:
    """The line with everything that could move a cursor or end the line escaped: paths are the bundle's words."""
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line)
