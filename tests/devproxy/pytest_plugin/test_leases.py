"""Leases of tests: exclusive among workers and sessions, waited for, freed however a test or its worker ends."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from devproxy.host.probe import probe
from devproxy.jobs.devices import Wanted, leasable
from devproxy.jobs.lease import Asking, acquire
from devproxy.jobs.listing import held, waiters
from devproxy.jobs.state import State
from devproxy.process import run
from tests.devproxy.pytest_plugin.sessions import EIGHT, TWO, WITNESS, Directory, environment, until

pytestmark = pytest.mark.programs

QUICK = """
import os, time, pytest, witness

@pytest.mark.parametrize("number", range(40))
@pytest.mark.accelerators(1)
def test_quick(number, accelerators):
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ",".join(accelerators.names)
    with witness.seen(os.environ["WITNESS"], accelerators.names):
        time.sleep(0.01)

@pytest.mark.accelerators(2)
def test_both(accelerators):
    with witness.seen(os.environ["WITNESS"], accelerators.names):
        time.sleep(0.01)
"""


def everything_can_be_had(state: str, host: str) -> bool:
    every = leasable(probe(host, deep=True))
    with State(state) as place:
        asking = Asking(every, Wanted(len(every)), ("after",), lambda _: "")
        acquire(place, asking, wait=0, progress=lambda _: None).release()
        return not held(place) and not waiters(place)


def test_forty_tests_of_four_workers_never_have_one_device_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WITNESS", str(tmp_path))
    directory = Directory(tmp_path, test_quick=QUICK, witness=WITNESS)
    done = directory.run("-n", "4", host=TWO)
    assert "41 passed" in done.out, done.out
    lines = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    having: dict[str, str] = {}
    for what, pid, *names in lines:
        for name in names:
            if what == "began":
                assert having.setdefault(name, pid) == pid
            else:
                assert having.pop(name) == pid
    assert not having
    assert len({name for line in lines for name in line[2:]}) == 2
    assert len({line[1] for line in lines}) == 4, "a worker has had nothing: it was no test of exclusion"
    assert everything_can_be_had(directory.state, TWO)


KILLED = """
import os, pytest

@pytest.mark.accelerators(2)
def test_dies():
    os.kill(os.getpid(), 9)

@pytest.mark.accelerators(2)
def test_has_both_afterwards(accelerators):
    assert len(accelerators.devices) == 2
"""


def test_a_worker_that_is_killed_frees_what_it_had(tmp_path: Path) -> None:
    directory = Directory(tmp_path, test_killed=KILLED)
    done = directory.run("-n", "2", host=TWO)
    assert "crashed while running 'test_killed.py::test_dies'" in done.out
    assert "1 failed, 1 passed" in done.out
    assert everything_can_be_had(directory.state, TWO)


BUSY = """
import pytest

@pytest.mark.accelerators(1, wait=0.2)
def test_late(): ...

@pytest.mark.accelerators(3)
def test_three(): ...

@pytest.mark.accelerators(1, wait="forever")
def test_waits(accelerators):
    assert len(accelerators.devices) == 1
"""


def test_a_busy_device_is_waited_for_and_who_has_it_is_named(tmp_path: Path) -> None:
    """A worker tells what is waited for past pytest, and a limit becomes a failure. What can never be is none to wait for."""
    directory = Directory(tmp_path, test_busy=BUSY)
    with directory.holder(2, TWO) as holder, directory.started("-n", "1", "-v", host=TWO) as session:
        told = until(session, "test_waits waits for accelerators: gpu 0, 1 leased", "ERROR test_busy.py::test_late")
        assert f"pid {holder.pid}" in "".join(told)
        assert holder.stdin is not None
        holder.stdin.close()
        rest, _ = session.communicate(timeout=60)
    assert "1 passed" in rest
    late = rest.partition("ERROR at setup of test_late")[2].partition("____")[2]
    assert "could not be had within 0.2 s: gpu 0, 1 leased" in late
    assert f"pid {holder.pid}" in late
    assert "sh -c echo has them; read line" in late
    assert "3 accelerators asked for, of which this host has 2: 2 gpu (Tesla V100-SXM2-32GB)" in rest
    assert "2 errors" in rest


INTERRUPTED = """
import time, pytest

@pytest.mark.parametrize("which", ["one", "other"])
@pytest.mark.accelerators(2)
def test_has_both(which):
    print("has them", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("workers", ["0", "2"])
def test_what_is_interrupted_gives_back_and_waits_no_more(tmp_path: Path, workers: str) -> None:
    """Ctrl-C goes to the whole process group. One process takes its claims back itself; of workers that are killed by the
    controller the kernel does it.
    """
    directory = Directory(tmp_path, test_interrupted=INTERRUPTED)
    with directory.started("-n", workers, "-v", "-s", host=TWO) as session:
        until(session, "has them" if workers == "0" else "waits for accelerators: ")
        os.killpg(session.pid, signal.SIGINT)
        rest, _ = session.communicate(timeout=60)
    assert session.returncode == pytest.ExitCode.INTERRUPTED, rest
    if workers == "0":
        assert os.listdir(f"{directory.state}/held") == []
        assert os.listdir(f"{directory.state}/queue") == []
    assert everything_can_be_had(directory.state, TWO)


NESTED = """
import os, pytest

def test_what_is_set():
    assert len(os.environ["DEVPROXY_LEASE"].split(",")) == 2

@pytest.mark.accelerators(2)
def test_two(accelerators):
    assert set(accelerators.names) == set(os.environ["OUTER"].split(","))

@pytest.mark.accelerators(1)
@pytest.mark.parametrize("number", range(4))
def test_one(accelerators, number):
    assert set(accelerators.names) < set(os.environ["OUTER"].split(","))

@pytest.mark.accelerators(3)
def test_three(): ...
"""


def test_below_a_lease_it_is_that_lease_which_tests_share(tmp_path: Path) -> None:
    directory = Directory(tmp_path, test_nested=NESTED)
    words = [word for word in directory.command("-n", "0") if not word.startswith("--devproxy-state")]
    lease = [sys.executable, "-m", "devproxy", "lease", "2", "--numa", "1", "--state", directory.state, "--host", EIGHT]
    script = ["sh", "-c", 'OUTER=$DEVPROXY_LEASE exec "$@"', "sh"]
    done = run([*lease, "--", *script, *words], check=False, cwd=str(tmp_path), env=environment(), timeout=120)
    assert "6 passed, 1 error" in done.out, done.out + done.err
    assert "3 accelerators asked for, of which this host has 2" in done.out
    stale = {**environment(), "DEVPROXY_LEASE": leasable(probe(EIGHT))[0].name, "DEVPROXY_LEASE_STATE": directory.state}
    done = run(words, check=False, cwd=str(tmp_path), env=stale)
    assert "but the lease (no number) is over" in done.out
