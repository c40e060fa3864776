"""What each phase of the work cost, and each step of a plan.

    >>> timeline = Timeline()
    >>> root = devproxy.build(plan, "kernel", timeline=timeline)
    >>> timeline.phases[-1].nanoseconds, max(timeline.steps, key=lambda each: each.nanoseconds).step.describe()

Time is the clock on the wall, monotonic. Steps on the kernel are carried out in another process, maybe in a time namespace: what
crosses are durations, never points in time. Nothing here runs where no timeline is given.
"""

from __future__ import annotations

from time import perf_counter_ns

from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from devproxy.outcome import Outcome
    from devproxy.plan.steps import Step


class Phase(Record):
    """A stretch of the work and how long it took. The parts of a phase are all of it, in their order; most have none."""

    name: str
    nanoseconds: int
    parts: tuple[Phase, ...] = ()


class StepTime(Record):
    """A step of the plan and how long carrying it out took."""

    step: Step
    nanoseconds: int


# What crosses from a builder: its parts by name, and the duration of each step in the plan's order.
Measured = tuple[list[tuple[str, int]], list[int]]


class Timeline:
    """A stopwatch. `phases` grows as the work goes on, `steps` is filled when a plan was built.

    `tell` is called with each phase as it ends. Not for several threads at once.
    """

    def __init__(
        self, tell: Callable[[Phase], None] = lambda _: None, clock: Callable[[], int] = perf_counter_ns
    ) -> None:
        self.phases: list[Phase] = []
        self.steps: tuple[StepTime, ...] = ()
        self._tell = tell
        self._clock = clock
        self._parts: list[tuple[str, int]] = []
        self._durations: list[int] = []
        self._mark = self._begin = clock()

    @property
    def total(self) -> int:
        """The nanoseconds of all phases."""
        return sum(phase.nanoseconds for phase in self.phases)

    def add(self, name: str, nanoseconds: int) -> None:
        """Add a phase that was measured elsewhere."""
        self._end(Phase(name, nanoseconds))

    def done(self, name: str, rest: str = "") -> None:
        """A phase ended, the next one begins. If it has parts, `rest` names the part that is all that no other measured."""
        now = self._clock()
        total = now - self._begin
        self._begin = now
        parts = tuple(Phase(part, duration) for part, duration in self._parts)
        if parts and rest:
            parts = (Phase(rest, max(total - sum(part.nanoseconds for part in parts), 0)), *parts)
        self._parts = []
        self._end(Phase(name, total, parts))

    def _end(self, phase: Phase) -> None:
        self.phases.append(phase)
        self._tell(phase)

    # while a plan is carried out, perhaps in another process

    def begin_parts(self) -> None:
        """The first part of a phase begins."""
        self._parts, self._durations = [], []
        self._mark = self._clock()

    def part(self, name: str) -> None:
        """A part of the phase ended, the next one begins."""
        now = self._clock()
        self._parts.append((name, now - self._mark))
        self._mark = now

    def carry(self, carry: Callable[[Step], Outcome], step: Step) -> Outcome:
        """Carry a step out and keep how long it took."""
        begin = self._clock()
        outcome = carry(step)
        self._durations.append(self._clock() - begin)
        return outcome

    @property
    def measured(self) -> Measured:
        """Parts and steps as plain values, to be taken over in another process."""
        return self._parts, self._durations

    def take(self, measured: Measured, steps: Sequence[Step]) -> None:
        """Take over what was measured where `steps` were carried out."""
        self._parts = [(name, duration) for name, duration in measured[0]]
        self.steps = tuple(StepTime(*each) for each in zip(steps, measured[1], strict=True))
