"""Many jobs of all kinds, of several users, with the hardware changing between and below them: afterwards the host is what it was.

DEVPROXY_LAB_JOBS says how many; `make soak-lab` runs 200.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

import devproxy
from devproxy.jobs.claims import living
from devproxy.jobs.clean.asked import How
from devproxy.jobs.clean.cleaning import clean
from devproxy.jobs.clean.dirt import DirtKind
from devproxy.jobs.devices import Kind, Wanted, leasable
from devproxy.jobs.lease import Asking, Lease, acquire
from devproxy.jobs.listing import held, waiters
from devproxy.jobs.state import State
from hwtests.conftest import Tell
from hwtests.lab.guest import jobs
from hwtests.lab.guest.conftest import NVIDIA, TPU, VFIO, Cli, ask, make_nodes
from hwtests.lab.guest.drivers import reload_nvidia, removed, until

JOBS: Final = int(os.environ.get("DEVPROXY_LAB_JOBS", "0"))
SEED: Final = int(os.environ.get("DEVPROXY_SEED", "0"))
ANSWERS: Final = {NVIDIA, TPU, VFIO}
# So many jobs run at once, and after so many the driver is loaded again.
_AT_ONCE: Final = 3
_RELOAD_EVERY: Final = 10


class Day:
    """The jobs of a day, and what becomes of them."""

    def __init__(self, state: State, seed: int, cli: Cli, setup: Callable[[], object]) -> None:
        self.done: Counter[str] = Counter()
        self.freed: list[float] = []
        self._state = state
        self._cli = cli
        self._setup = setup
        self._random = random.Random(seed)
        self._running: list[jobs.Job] = []
        self._kinds: list[str] = []

    def run(self, number: int) -> None:
        for done in range(1, number + 1):
            if len(self._running) == _AT_ONCE:
                self._finish()
            self._begin()
            if done % _RELOAD_EVERY == 0:
                self._reload(whole=done % (2 * _RELOAD_EVERY) == 0)
        while self._running:
            self._finish()

    def _begin(self) -> None:
        # Each kind as often as the others, in an order that nobody chose.
        if not self._kinds:
            self._kinds = ["asks", "holds", "in_a_root", "crashes", "killed", "lost", "leaves_much"]
            self._random.shuffle(self._kinds)
        kind = self._kinds.pop()
        works = {"killed": jobs.holds, "lost": jobs.holds}
        root_only = kind in ("in_a_root", "crashes")
        gpu = self._random.random() < 0.6
        wanted = Wanted(self._random.choice((1, 1, 2)) if gpu else 1, Kind.GPU if gpu else Kind.TPU)
        # The chips' nodes are root's.
        uid = self._random.choice(jobs.USERS) if gpu and not root_only else 0
        self._running.append(jobs.start(kind, works.get(kind) or getattr(jobs, kind), wanted, uid))

    def _finish(self) -> None:
        """End one of those that have their lease: others may wait for it."""
        served, _, _ = select.select([job.told for job in self._running], [], [], 120)
        job = self._random.choice([job for job in self._running if job.told in served])
        self._running.remove(job)
        getattr(self, f"_finish_{job.kind}", self._finish_well)(job)
        self.done[job.kind] += 1

    def _finish_well(self, job: jobs.Job) -> None:
        assert set(job.wait_for_answers()) <= ANSWERS
        assert job.end() == 0

    def _finish_crashes(self, job: jobs.Job) -> None:
        assert set(job.wait_for_answers()) <= ANSWERS
        assert job.end() == jobs.CRASHED

    def _finish_killed(self, job: jobs.Job) -> None:
        job.wait_for_answers()
        os.kill(job.pid, signal.SIGKILL)
        self._free_after(job, time.monotonic())
        assert job.end() == -signal.SIGKILL

    def _finish_lost(self, job: jobs.Job) -> None:
        """A device is taken away while a job has it open; the next look does not find it, and the bus gives it back."""
        assert set(job.wait_for_answers()) <= ANSWERS
        device = self._random.choice(job.scope.devices)
        with removed(device.address):
            assert device.name not in {each.name for each in leasable(devproxy.probe())}
            assert job.end() == 0
        for path in device.nodes:
            until(path)

    def _finish_leaves_much(self, job: jobs.Job) -> None:
        """What it started has the lease still; `clean` knows it by that, and ends it."""
        assert set(job.wait_for_answers()) <= ANSWERS
        assert job.end() == 0
        assert self._has_its_lease(job)
        cleaned = clean(job.scope, how=How(state=self._state))
        assert cleaned.exit_code == 0, cleaned
        assert {DirtKind.HOLDER, DirtKind.SHM} <= {dirt.kind for dirt in cleaned.removed}
        assert not self._has_its_lease(job)

    def _has_its_lease(self, job: jobs.Job) -> bool:
        """Whether somebody has that lease still: its devices may be the next one's already."""
        return any(claim.words.get("id") == job.scope.ident for claim in living(self._state.held))

    def _free_after(self, job: jobs.Job, since: float) -> None:
        while self._has_its_lease(job):
            assert time.monotonic() - since < 60
        self.freed.append(time.monotonic() - since)

    def _reload(self, *, whole: bool) -> None:
        """As an administrator does it, who leases every GPU first."""
        while self._running:
            self._finish()
        lease = lease_all(self._state, Kind.GPU)
        reload_nvidia(whole=whole)
        self._setup()
        lease.release()
        self.done["reload"] += 1
        if whole:
            nodes = [f"/dev/nvidia{minor}" for minor in range(3)]
            self._cli("job", "3", "--kind", "gpu", "--", jobs.ASK, *nodes)
            self.done["whole jobs"] += 1


def lease_all(state: State, kind: Kind) -> Lease:
    every = leasable(devproxy.probe())
    number = sum(device.kind is kind for device in every)
    asking = Asking(every, Wanted(number, kind), ("administrator",), lambda _: "")
    return acquire(state, asking, wait=60, progress=lambda _: None)


@pytest.fixture
def setup(tmp_path: Path, cli: Cli) -> Iterator[Callable[[], object]]:
    """`devproxy setup`, done once, and undone in the end."""
    words = ("setup", "--record", str(tmp_path / "setup.jsonl"))
    cli(*words)
    yield lambda: cli(*words)
    cli(*words, "--undo")
    make_nodes()


def test_jobs_of_a_day_leave_the_host_as_it_was(
    tmp_path: Path, cli: Cli, setup: Callable[[], object], tell: Tell
) -> None:
    before, after = str(tmp_path / "before.tar"), str(tmp_path / "after.tar")
    with State() as state:
        cli("record", before)
        started = time.monotonic()
        day = Day(state, SEED, cli, setup)
        day.run(JOBS)
        took = time.monotonic() - started
        assert not held(state)
        assert not waiters(state)
    cli("record", after)
    tell("jobs", f"{dict(day.done)}, seed {SEED}, {took:.1f} s, {took / JOBS:.2f} s each")
    tell("freed after a kill, in ms", [round(seconds * 1000) for seconds in day.freed])
    assert sum(day.done.values()) - day.done["reload"] - day.done["whole jobs"] == JOBS
    difference = json.loads(cli("diff", before, after, "--json", code=None).out)
    assert difference["differences"] == []
    # A runtime that was too slow to answer is nothing that jobs do.
    assert not [place for place in difference["unseen"] if "did not tell its version" not in place]
    assert not [name for name in os.listdir("/dev/shm") if name.startswith("lab-")]
    with pytest.raises(ChildProcessError):
        os.wait()
    assert not [said for said in ask("/dev/nvidia0", "/dev/nvidia1", "/dev/nvidia2").values() if "open" in said]
