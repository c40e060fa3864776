"""Leases on a kernel with GPUs: who has one, who holds one without asking, how soon it is free when they die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import devproxy
from devproxy.jobs.busy import Busy
from devproxy.jobs.devices import Kind, Wanted, leasable
from devproxy.jobs.lease import Asking, Lease, Waiting, acquire
from devproxy.jobs.listing import waiters
from devproxy.jobs.state import State
from hwtests.conftest import Tell
from hwtests.lab.guest import jobs
from hwtests.lab.guest.conftest import LAB, NVIDIA, Cli, answers, bundle

USER, OTHER = jobs.USERS


@contextmanager
def held_without_a_lease(node: str) -> Iterator[subprocess.Popen[str]]:
    """A program of another user's that has a GPU open, and has asked nobody."""
    command = [str(LAB / "ask"), "-w", node]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, user=USER) as child:
        assert child.stdout is not None
        assert child.stdout.readline().startswith(f"{node} {NVIDIA}")
        yield child
        child.kill()


@pytest.fixture
def state() -> Iterator[State]:
    with State() as opened:
        yield opened


def lease(state: State, number: int, *, wait: float = 0, told: Callable[[Waiting], None] = lambda _: None) -> Lease:
    host = devproxy.probe()
    asking = Asking(leasable(host), Wanted(number, Kind.GPU), ("test",), Busy(host).why)
    return acquire(state, asking, wait=wait, progress=told)


def test_a_gpu_that_is_held_without_a_lease_is_passed_over_and_named(state: State, cli: Cli) -> None:
    with held_without_a_lease("/dev/nvidia0") as holder:
        found = lease(state, 1)
        assert [device.nodes for device in found.devices] == [("/dev/nvidia1",)]
        found.release()
        done = cli("lease", "3", "--kind", "gpu", "--", "true", code=1)
        assert f"gpu 0 held by ask (pid {holder.pid})" in done.err
    lease(state, 3).release()


def test_it_is_given_out_once_that_one_has_died(state: State, tell: Tell) -> None:
    with held_without_a_lease("/dev/nvidia0") as holder:
        killed = 0.0

        def kill(waiting: Waiting) -> None:
            nonlocal killed
            if not killed:
                assert f"held by ask (pid {holder.pid})" in waiting.describe()
                holder.kill()
                holder.wait()
                killed = time.monotonic()

        found = lease(state, 3, wait=60, told=kill)
        tell("free after the death of one without a lease, in ms", round((time.monotonic() - killed) * 1000))
        found.release()


def test_the_death_of_a_holder_frees_its_gpus_for_the_one_who_waits(state: State, tell: Tell) -> None:
    """Another user waits in another process; both clocks are the kernel's."""
    holder = jobs.start("holds", jobs.holds, Wanted(3, Kind.GPU), USER)
    assert holder.wait_for_answers() == [NVIDIA] * 3
    waiter = jobs.start("says when", jobs.says_when, Wanted(3, Kind.GPU), OTHER)
    while not waiters(state):
        time.sleep(0.01)
    time.sleep(0.1)
    killed = time.monotonic_ns()
    os.kill(holder.pid, signal.SIGKILL)
    had = int(waiter.read_line())
    assert holder.end() == -signal.SIGKILL
    assert waiter.end() == 0
    tell("free after the death of a holder, in ms", round((had - killed) / 1e6, 1))
    assert 0 < had - killed < 20e9  # an emulated machine on a busy one; what is asked for is 100 ms


def test_the_list_names_the_user(cli: Cli) -> None:
    job = jobs.start("holds", jobs.holds, Wanted(1, Kind.GPU), OTHER)
    job.wait_for_answers()
    assert "ci-b" in cli("lease", "list", "--text").out
    assert job.end() == 0


def test_a_container_in_a_lease_has_the_leased_gpu_alone(tmp_path: Path) -> None:
    """The command as people type it: `lease` becomes `run`, whose bundle asks for all there are."""
    made = bundle(tmp_path, "NVIDIA_VISIBLE_DEVICES=all")
    nodes = [f"/dev/nvidia{minor}" for minor in range(3)]
    python = [sys.executable, "-m", "devproxy"]
    command = [*python, "lease", "1", "--kind", "gpu", "--", *python, "run", made, "--", "ask", *nodes]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done  # what `ask` ends with: two do not answer
    said = answers(done.stdout)
    assert said.pop("/dev/nvidia0") == f"{NVIDIA} 0"
    assert set(said.values()) == {"open: No such file or directory"}
