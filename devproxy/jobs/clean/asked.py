"""What is asked of a cleaning."""

from __future__ import annotations

from devproxy.jobs.scope import Scope
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from devproxy.host.facts import Host
    from devproxy.jobs.clean.process import Process
    from devproxy.jobs.state import State

    # Says why a process is the lease's, or nothing. Errors: those of reading a process.
    Proof = Callable[[Process], str]


class Places(Record):
    """Where jobs leave files: libtpu's lock and logs and MPS's pipes in `temporary`, POSIX shared memory in `shm`, MPS's logs in
    `mps_logs`.
    """

    temporary: str = "/tmp"  # noqa: S108 (what is cleaned)
    shm: str = "/dev/shm"  # noqa: S108
    mps_logs: str = "/var/log/nvidia-mps"


class How(Record):
    """How to clean. `state` is where leases are kept. `spare` are processes that are the lease's and stay (who cleans and its
    ancestors always do); `proofs` are more ways to know the lease's processes. `held` says that whoever cleans has the lease's
    devices locked itself. `grace` is how many seconds a process has to end when it is asked to.
    """

    state: State | None = None
    spare: frozenset[int] = frozenset()
    proofs: tuple[Proof, ...] = ()
    held: bool = False
    grace: float = 5.0
    places: Places = Places()


class Asked(Record):
    """A lease to clean after, the host as it was before the job (None: nobody looked), and how."""

    scope: Scope
    before: Host | None
    how: How
