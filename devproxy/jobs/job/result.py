"""What is known of a job when it is over."""

from __future__ import annotations

from devproxy.check.finding import Report
from devproxy.choice import Choice
from devproxy.difference.comparison import Comparison
from devproxy.host.facts import Host
from devproxy.jobs.job.asked import Asked
from devproxy.jobs.job.command import Ended
from devproxy.jobs.quarantine import Entry
from devproxy.jobs.scope import Scope
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

LEASE: Final = "lease"
BEFORE: Final = "check before"
COMMAND: Final = "command"
AFTER: Final = "check after"
DIFFERENCE: Final = "difference"
CLEAN: Final = "clean"
CLEANED: Final = "check cleaned"
RELEASE: Final = "release"


class State(Choice):
    """How a phase ended."""

    DONE = "done"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


class Phase(Record):
    """A phase: when it began (seconds since the epoch), how long it took, how it ended, and what is to be said of it."""

    name: str
    began: float
    seconds: float
    state: State
    words: str = ""


class Look(Record):
    """The host at one moment, and what was wrong with it. `host` is None where it could not be looked at in time; `report` says so
    then.
    """

    host: Host | None
    report: Report


class Refused(Record):
    """A lease whose devices were bad before the command ran, and were given back for others."""

    scope: Scope
    report: Report


class Fault(Choice):
    """Whose fault a job's end is."""

    NOBODY = "nobody"
    COMMAND = "command"
    HARDWARE = "hardware"
    DEVPROXY = "devproxy"
    CALLER = "caller"
    UNKNOWN = "unknown"


class Hardware(Choice):
    """What the hardware is judged to be."""

    FINE = "fine"
    BAD = "bad"
    UNKNOWN = "unknown"


class Verdict(Record):
    """How a job ended: whose fault it was, what the hardware is, which devices are to blame (names, as far as findings are about one), one
    line for people, the exit code.
    """

    fault: Fault
    hardware: Hardware
    devices: tuple[str, ...]
    headline: str
    code: int


class Left(Record):
    """Something that was left behind: what it is, and what became of it. `ours` says whether it is proven to be the command's; what
    is not is left alone.
    """

    what: str
    done: str
    gone: bool
    ours: bool

    @property
    def stays(self) -> bool:
        """Whether it is the command's and is still there."""
        return self.ours and not self.gone


class Result(Record):
    """A job that is over. `ended` is None when the command was not started, `problems` are devproxy's own."""

    asked: Asked
    began: float
    scope: Scope | None
    before: Look | None
    ended: Ended | None
    after: Look | None
    difference: Comparison | None
    left: tuple[Left, ...]
    cleaned: Look | None
    refused: tuple[Refused, ...]
    quarantined: tuple[Entry, ...]
    kernel: tuple[str, ...]
    phases: tuple[Phase, ...]
    problems: tuple[str, ...]
    verdict: Verdict

    @property
    def seconds(self) -> float:
        """How long it took in all."""
        return sum(phase.seconds for phase in self.phases)
