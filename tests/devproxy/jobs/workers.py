"""Workers that lease, hold, die and are killed, each lease in a process of its own: the rig of the lease tests.

What is right is told by locks of another kind (fcntl(2), on a file a device), which each holder takes too: a device that is handed
out twice is one whose lock is taken.
"""

from __future__ import annotations

import fcntl
import os
import random
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from devproxy.errors import DevproxyError
from devproxy.jobs.devices import Device, Kind, Wanted
from devproxy.jobs.lease import Asking, acquire
from devproxy.jobs.state import State

EIGHT = tuple(
    Device(Kind.GPU, f"GPU-{rank}", rank, f"0000:0{rank}:00.0", "H100", rank // 4, 80 << 30, (f"/dev/nvidia{rank}",))
    for rank in range(8)
)


class Rig:
    """A place with the state, the witnesses, and a log that all append to."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.state = str(place / "leases")
        self.log = str(place / "log")
        Path(self.log).touch()
        os.chmod(self.log, 0o666)
        for device in EIGHT:
            witness = place / device.name
            witness.touch()
            witness.chmod(0o666)
        with State(self.state) as state:
            for device in EIGHT:
                os.close(state.device(device.name))

    def write(self, *words: object) -> None:
        """A line into the log, whole (open(2), O_APPEND)."""
        fd = os.open(self.log, os.O_WRONLY | os.O_APPEND)
        os.write(fd, (" ".join(map(str, words)) + "\n").encode())
        os.close(fd)

    def lines(self) -> list[list[str]]:
        return [line.split() for line in Path(self.log).read_text().splitlines()]

    def lease_once(self, number: int, seconds: float, die: Callable[[], None] = lambda: None) -> None:
        """Lease, prove that nobody else has it, hold, and give it back (or die with it)."""
        with State(self.state) as state:
            lease = acquire(
                state, Asking(EIGHT, Wanted(number), ("worker",), lambda _: ""), wait=120, progress=lambda _: None
            )
            witnesses = []
            for device in lease.devices:
                fd = os.open(self.place / device.name, os.O_RDWR)
                try:
                    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    self.write("TWICE", device.name, os.getpid())
                witnesses.append(fd)
            self.write("leased", os.getpid(), *(device.name for device in lease.devices))
            time.sleep(seconds)
            die()
            for fd in witnesses:
                os.close(fd)
            lease.release()


def child(work: Callable[[], None], uid: int = 0) -> int:
    """A process that does it, as another user perhaps; its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    os.closerange(3, 1 << 16)  # a lease of the parent's is none of the child's
    try:
        if uid:
            os.setgid(uid)
            os.setuid(uid)
        work()
        code = 0
    except DevproxyError as error:
        os.write(2, f"{error}\n".encode())
    finally:
        os._exit(code)


def worker(rig: Rig, leases: int, seed: int, uid: int) -> int:
    """A process that has `leases` children lease, one after the other, and kills some of them; its exit code says whether all others
    ended well.
    """

    def work() -> None:
        chance = random.Random(seed)
        for _ in range(leases):
            number, seconds = chance.choice((1, 1, 1, 2, 3)), chance.random() * 0.002
            pid = child(partial(rig.lease_once, number, seconds))
            killed = chance.random() < 0.2
            if killed:
                time.sleep(chance.random() * 0.05)  # while it waits or while it holds, whichever it is
                os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            rig.write("ended", pid, "killed" if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))

    return child(work, uid)
