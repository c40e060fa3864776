"""What is asked of a job."""

from __future__ import annotations

from devproxy.choice import Choice
from devproxy.jobs.devices import Wanted
from devproxy.jobs.quarantine import PLACE as KEPT_OUT
from devproxy.jobs.state import PLACE
from devproxy.record import Record


class Decides(Choice):
    """Whose state the exit code tells: the command's, and the hardware's where the command succeeded; or one alone."""

    BOTH = "both"
    COMMAND = "command"
    HARDWARE = "hardware"


class Asked(Record):
    """A job: `wanted` devices for the words of `command`, or for the process of `bundle` (`run` are the options for 'devproxy run').

    `wait` is how long a lease may take to be had, `timeout` how long the command may take (None: for ever), `grace` how long it has
    to end once it was asked to, all in seconds. `artifacts` is the folder, empty for none; `expect` a file of expectations. `after`
    is the recording that stands for the host afterwards where `host` is one. `anyway` runs the command on a device that is bad.
    """

    command: tuple[str, ...]
    wanted: Wanted
    wait: float | None = 0.0
    timeout: float | None = None
    grace: float = 10.0
    bundle: str = ""
    run: tuple[str, ...] = ()
    artifacts: str = ""
    expect: str = ""
    host: str = "live"
    after: str = ""
    state: str = PLACE
    quarantine: str = KEPT_OUT
    anyway: bool = False
    decides: Decides = Decides.BOTH
