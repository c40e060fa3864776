"""Dirt, planted for real: leases that are over, processes of theirs, and innocents beside them."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devproxy.jobs.claims import Own
from devproxy.jobs.clean.asked import How, Places
from devproxy.jobs.clean.cleaning import clean
from devproxy.jobs.clean.dirt import Cleaned
from devproxy.jobs.clean.process import Identity, Process
from devproxy.jobs.devices import Device, Kind
from devproxy.jobs.scope import IDENT, Scope
from devproxy.jobs.state import State

# Becomes a user, does what it is told in a line of Python, says that it has, and stays. Other users may not be able to execute this
# interpreter, nor to read its modules: they are loaded before.
_STAY = """\
import ctypes, mmap, os, re, signal, sys, time
[__import__(name) for name in re.findall(r"import (\\w+)", sys.argv[1])]
uid = int(sys.argv[2])
if uid != os.getuid():
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
exec(sys.argv[1])
os.write(1, b"ready")
os.close(1)
while True:
    time.sleep(60)
"""


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Errors: AssertionError if it does not come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.01)


class Job:
    """A lease that is over: its number and places, and what it left. Everything that is started is ended at the end, by its pid."""

    def __init__(self, place: Path, *, uid: int | None = None, devices: Sequence[Device] = ()) -> None:
        self.place = place
        self.places = Places(str(place / "tmp"), str(place / "shm"), str(place / "mps-logs"))
        for path in self.places:
            os.makedirs(path, exist_ok=True)
            os.chmod(path, 0o1777)
        self.scope = Scope(os.urandom(16).hex(), os.getuid() if uid is None else uid, time.time(), tuple(devices))
        self.state: State | None = None
        self._pids: list[int] = []
        time.sleep(0.02)  # the clock of files is coarse: what is made from now on is newer than the lease

    @property
    def mark(self) -> dict[str, str]:
        """The environment of the lease's processes."""
        return {IDENT: self.scope.ident}

    def start(
        self,
        work: str = "",
        env: Mapping[str, str] | None = None,
        *,
        uid: int | None = None,
        name: str = "python3",
        keep: Sequence[int] = (),
        before: Callable[[], object] = lambda: None,
    ) -> int:
        """A process that does `work` and stays: the lease's, unless `env` says otherwise. Returns its pid when it has done it."""
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                before()
                os.setpgid(0, 0)
                os.dup2(write, 1)
                null = os.open("/dev/null", os.O_RDWR)
                os.dup2(null, 0)
                for descriptor in keep:
                    os.set_inheritable(descriptor, True)
                user = str(self.scope.uid if uid is None else uid)
                variables = {"PATH": os.environ.get("PATH", "")} | dict(self.mark if env is None else env)
                os.execve(sys.executable, [name, "-S", "-c", _STAY, work, user], variables)
            finally:
                os._exit(99)
        os.close(write)
        self._pids.append(pid)
        try:
            assert os.read(read, 8) == b"ready", f"{work} failed"
        finally:
            os.close(read)
        return pid

    def clean(self, *, dry_run: bool = False, **how: Any) -> Cleaned:
        """Clean after it; nobody waits for the dead but the test, and so it does."""
        asked = How(state=self.state, places=self.places, grace=2.0)._replace(**how)
        return clean(self.scope, dry_run=dry_run, how=asked)

    def is_alive(self, pid: int) -> bool:
        """Whether a process that was started has not ended. None is waited for before the end: their numbers stay their own."""
        assert pid in self._pids
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def living_in_group(self, pid: int) -> bool:
        """Whether somebody lives in the process group that a process was started in: kill(2) reaches the dead too, so /proc is asked."""
        for _ in range(50):
            for name in filter(str.isdigit, os.listdir("/proc")):
                try:
                    fields = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()
                except (FileNotFoundError, ProcessLookupError):
                    continue
                if int(fields[2]) == pid and fields[0] not in "ZX":
                    return True
        return False

    def ended_by(self, pid: int) -> int:
        """The signal that ended a process; 0 for none."""
        found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return found.si_status if found is not None and found.si_code == os.CLD_KILLED else 0

    def end(self) -> None:
        for pid in self._pids:
            os.killpg(
                pid, signal.SIGKILL
            )  # with what it started, were it forking; not waited for, its number is its own
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self._pids = []
        if self.state is not None:
            self.state.close()


@contextmanager
def job(*, uid: int | None = None, devices: Sequence[Device] = (), state: bool = False) -> Iterator[Job]:
    """A job in a directory that every user gets at."""
    with tempfile.TemporaryDirectory(prefix="job-") as place:
        os.chmod(place, 0o755)
        made = Job(Path(place), uid=uid, devices=devices)
        try:
            if state:
                made.state = State(str(Path(place) / "leases")).__enter__()
            yield made
        finally:
            made.end()


def tpu() -> Device:
    return Device(Kind.TPU, "0000:00:04.0", 0, "0000:00:04.0", "v5e", 0, None, ())


def holding(node: Path) -> Device:
    """A GPU whose node is `node`."""
    return Device(Kind.GPU, "GPU-0", 0, "0000:01:00.0", "H100", 0, None, (str(node),))


def claim(made: Job, *, uid: int | None = None, **words: object) -> Own:
    """The lease's claim, locked by this process."""
    assert made.state is not None
    told = {"id": made.scope.ident, "pid": 1 << 30, "devices": list(made.scope.names)} | words
    own = Own(made.state.held, told)
    if os.geteuid() == 0:
        os.chown(own.descriptor, made.scope.uid if uid is None else uid, -1)
    return own


def identity(pid: int) -> Identity:
    with Process(pid) as process:
        return process.seen.identity


def kinds(cleaned: Cleaned) -> list[str]:
    return [dirt.kind.value for dirt in cleaned.removed]
