"""One hardware job, whole: lease, look, run the command, look again, say what differs, clean, give back; and a folder that tells
of it.

    job.py           the phases, one after the other            command.py    the command, and what it writes
    asked.py         what was asked for                         guard.py      who ends all of it if devproxy is killed
    verdict.py       whose fault it is, and the exit code       bounded.py    work that may hang, in a child
    result.py        all that is known at the end               artifacts.py  the folder
    document.py, junit.py, page.py, text.py, markdown.py        the same for programs, CI systems and people

The command's code and the hardware's state are two things, and stay two: a red job is either the command's fault or not.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.jobs.job.asked import Asked
    from devproxy.jobs.job.job import run_job

__all__ = ["Asked", "run_job"]


def __getattr__(name: str) -> object:
    """`Asked` and `run_job` are imported when they are first used: the command line declares its arguments without them."""
    if name == "Asked":
        from devproxy.jobs.job.asked import Asked

        return Asked
    if name == "run_job":
        from devproxy.jobs.job.job import run_job

        return run_job
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
