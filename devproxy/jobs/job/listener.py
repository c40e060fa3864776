"""Who is told of a job as it goes on. What is here says nothing: the command line has listeners for terminals and CI systems."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.jobs.job.result import Phase, Result
    from devproxy.jobs.lease import Waiting
    from devproxy.jobs.scope import Scope


class Listener:
    """Each method is called as the job comes there."""

    def begins(self, phase: str) -> None:
        """A phase begins."""

    def ends(self, phase: Phase, *, fatal: bool) -> None:
        """A phase has ended. `fatal`: and the job with it, by an exception that says why."""

    def waits(self, waiting: Waiting) -> None:
        """Devices are waited for."""

    def leased(self, scope: Scope) -> None:
        """They were had."""

    def doubts(self, words: str) -> None:
        """Something about them that could not be seen."""

    def command_writes(self) -> None:
        """From now on the command writes to the same streams."""

    def command_wrote(self, *, line_ended: bool) -> None:
        """It does not any more. `line_ended` says whether the last line on standard error has its end."""

    def over(self, result: Result) -> None:
        """All is over."""
