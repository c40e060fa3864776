"""What became of a plan's steps on a target."""

from __future__ import annotations

from itertools import groupby

from devproxy.choice import Choice
from devproxy.plan.steps import Skip, Step
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any, Final, Self


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


class Become(Record):
    """What became of a step, without the step: the other fields of its `Outcome`."""

    result: Result
    found: str = ""
    warning: bool = False
    kept: bool = False
    rootless: bool = False
    aside: str = ""
    made: str = ""


DONE: Final = Become(Result.DONE)


class Outcomes:
    """The outcomes of a plan's first steps, a sequence in its order. Held are `runs` of steps that all became the same, thousands of which
    come to a handful; records are made for who asks for one. Invariant: no run is empty, and neighbours differ.

    It grows while a plan is carried out, and is not changed afterwards.
    """

    __slots__ = ("_made", "_steps", "runs")

    def __init__(self, steps: Sequence[Step], runs: Iterable[tuple[Become, int]] = ()) -> None:
        self._steps = steps
        self._made: tuple[Outcome, ...] | None = None
        self.runs: list[tuple[Become, int]] = []
        for become, number in runs:
            self.add(become, number)

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Self:
        """Outcomes that are there already."""
        made = cls([outcome.step for outcome in outcomes], ((Become(*outcome[1:]), 1) for outcome in outcomes))
        made._made = tuple(outcomes)
        return made

    def add(self, become: Become, number: int = 1) -> None:
        """The next so many steps became this."""
        self._made = None
        if self.runs and self.runs[-1][0] == become:
            number += self.runs.pop()[1]
        self.runs.append((become, number))

    def stretches(self) -> Iterator[tuple[Become, int, Sequence[Step]]]:
        """Neighbours that are steps of one class and became the same: what they became, the place of the first one, and they."""
        first = 0
        for become, number in self.runs:
            for _, alike in groupby(self._steps[first : first + number], type):
                steps = list(alike)
                yield become, first, steps
                first += len(steps)

    def _all(self) -> tuple[Outcome, ...]:
        if self._made is None:
            becomes = (become for become, number in self.runs for _ in range(number))
            self._made = tuple([Outcome(step, *become) for step, become in zip(self._steps, becomes, strict=False)])
        return self._made

    def __len__(self) -> int:
        return sum(number for _, number in self.runs)

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self._all())

    def __getitem__(self, place: int) -> Outcome:
        return self._all()[place]

    def __eq__(self, other: object) -> bool:
        return self._all() == tuple(other) if isinstance(other, Outcomes | tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._all())

    def __repr__(self) -> str:
        return f"Outcomes({self._all()!r})"


def to_plain(outcomes: Outcomes) -> list[Any]:
    """Outcomes as plain values that JSON can hold, without their steps: each kind of outcome once, and which one each run of steps
    has. Thousands of steps come to a handful.
    """
    kinds: dict[Become, int] = {}
    runs = [[kinds.setdefault(become, len(kinds)), number] for become, number in outcomes.runs]
    return [[[result.value, *rest] for result, *rest in kinds], runs]


def from_plain(steps: Sequence[Step], plain: Sequence[Any]) -> Outcomes:
    """The outcomes of `steps`, in the order in which they were given to `to_plain`. Errors: ValueError if they are not as many."""
    kinds = [Become(Result(result), *rest) for result, *rest in plain[0]]
    outcomes = Outcomes(steps, ((kinds[kind], number) for kind, number in plain[1]))
    if len(outcomes) != len(steps):
        raise ValueError(f"{len(outcomes)} outcomes of {len(steps)} steps")
    return outcomes
