"""What became of a plan's steps on a target."""

from __future__ import annotations

from devproxy.choice import Choice
from devproxy.plan.steps import Skip, Step
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class Result(Choice):
    """What became of a step: carried out as it stands, left out, or carried out after a choice that the target's state
    made.
    """

    DONE = "done"
    SKIPPED = "skipped"
    CHOSEN = "chosen"


class Outcome(Record):
    """A step after `build`: what was found and chosen here, in words for a reader (`major 511 here, the spec said
    510`).

    `warning` marks what the user has to know; under strict it is an error. `kept` says that the node, link or directory was
    there already and stays as it was, or is the host's, and of the root that it is the directory itself. `rootless` says that want of privileges made it less than was
    asked for. `aside` is true of this target alone, where others come to the same root: what was cleaned up, where a layer
    is. `made` is the first path that had to be made for a mount or a directory.
    """

    step: Step
    result: Result
    found: str = ""
    warning: bool = False
    kept: bool = False
    rootless: bool = False
    aside: str = ""
    made: str = ""

    def describe(self) -> str:
        """The step's line, with what was found. Why it is there the step's reason says."""
        told = "; ".join(filter(None, (self.found, self.aside)))
        what = self.step.what if isinstance(self.step, Skip) else self.step.describe()
        return f"{self.result.value}: {what}" + (f"  ({told})" if told else "")


def to_plain(outcomes: Sequence[Outcome]) -> list[Any]:
    """Outcomes as plain values that JSON can hold, without their steps: each kind of outcome once, and which one each step has.
    Thousands of steps come to a handful.
    """
    kinds: dict[tuple[Any, ...], int] = {}
    which = [kinds.setdefault(outcome[1:], len(kinds)) for outcome in outcomes]
    return [[[result.value, *rest] for result, *rest in kinds], which]


def from_plain(steps: Sequence[Step], plain: Sequence[Any]) -> tuple[Outcome, ...]:
    """The outcomes of `steps`, in the order in which they were given to `to_plain`."""
    kinds = [(Result(result), *rest) for result, *rest in plain[0]]
    return tuple([Outcome(step, *kinds[kind]) for step, kind in zip(steps, plain[1], strict=True)])
