"""A session of pytest with two workers of pytest-xdist on the guest's own GPUs: what is leased is what its driver answers for."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple
from xml.etree import ElementTree as ET

import pytest

import devproxy
from devproxy.process import Completed, run
from hwtests.lab.guest.conftest import make_nodes
from hwtests.lab.guest.drivers import reload_nvidia

# A GPU that falls off the bus while a test has it: the stub driver says so as the real one does.
TESTS: Final = r"""
import fcntl, os, subprocess, time, pytest

@pytest.mark.parametrize("number", range(6))
@pytest.mark.accelerators(1, kind="gpu")
def test_exclusive(number, accelerators, tmp_path_factory):
    (node,) = accelerators.nodes
    assert os.environ["CUDA_VISIBLE_DEVICES"] == accelerators.names[0]
    with open(f"witness-{os.path.basename(node)}", "w") as witness:
        fcntl.lockf(witness, fcntl.LOCK_EX | fcntl.LOCK_NB)
        said = subprocess.run(["/lab/ask", node], capture_output=True, text=True, check=True).stdout
        assert said == f"{node} 10de {node[-1]}\n"
        time.sleep(0.3)
    with open("log", "a") as log:
        log.write(f"{os.getpid()} {node}\n")

@pytest.mark.accelerators(4, kind="gpu")
def test_four_of_three(): ...

@pytest.mark.accelerators(1, kind="gpu")
def test_falls_off_the_bus(accelerators):
    (node,) = accelerators.nodes
    for name, value in (("answers", "0"), ("doomed", node[-1])):
        with open(f"/sys/module/nvidia/parameters/{name}", "w") as file:
            file.write(value)
    subprocess.run(["/lab/ask", node], check=True)
"""


# With one that a process outside holds without a lease.
ALONE: Final = """
import pytest

@pytest.mark.accelerators(3, kind="gpu", wait=0)
def test_all_three(): ...
"""


class Sessions(NamedTuple):
    """One without workers, one with two, and their directory."""

    alone: Completed
    two: Completed
    place: Path


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sessions]:
    """Both beside a process that holds a GPU, which it has not leased: this one."""
    place = tmp_path_factory.mktemp("session")
    (place / "pytest.ini").write_text("[pytest]\ndevproxy_evidence_timeout = 120\ndevproxy_artifacts = artifacts\n")
    (place / "test_there.py").write_text(TESTS)
    (place / "test_alone.py").write_text(ALONE)
    words = ["-p", "devproxy.pytest_plugin", "-p", "no:cacheprovider", "-v", f"--basetemp={place}/tmp"]
    command = [sys.executable, "-m", "pytest", *words]
    held = os.open("/dev/nvidia0", os.O_RDWR | os.O_CLOEXEC)
    try:
        alone = run([*command, "test_alone.py"], check=False, cwd=str(place), timeout=100)
        more = ["-p", "xdist.plugin", "-n", "2", "--junitxml=junit.xml"]
        two = run([*command, *more, "test_there.py"], check=False, cwd=str(place), timeout=200)
    finally:
        os.close(held)
    yield Sessions(alone, two, place)
    reload_nvidia(whole=True)
    make_nodes()


def test_each_has_a_device_of_its_own_which_nobody_holds(sessions: Sessions) -> None:
    done = sessions.two
    assert "1 failed, 6 passed, 1 error" in done.out, done.out + done.err
    lines = [line.split() for line in (sessions.place / "log").read_text().splitlines()]
    assert {node for _, node in lines} == {"/dev/nvidia1", "/dev/nvidia2"}
    assert len({pid for pid, _ in lines}) == 2


def test_what_cannot_be_is_told_at_once_and_what_is_busy_with_its_holder(sessions: Sessions) -> None:
    assert "4 gpus asked for, of which this host has 3: 3 gpu" in sessions.two.out
    name = Path("/proc/self/comm").read_text().strip()
    assert f"3 accelerators could not be had: gpu 0 held by {name} (pid {os.getpid()})" in sessions.alone.out


def test_a_failed_test_has_the_kernels_log_and_a_recording(sessions: Sessions) -> None:
    found = ET.fromstring((sessions.place / "junit.xml").read_text()).iter("testcase")
    told = {each.get("name"): {p.get("name"): p.get("value", "") for p in each.iter("property")} for each in found}
    evidence = told.pop("test_falls_off_the_bus")
    assert not any(told.values())
    assert re.search(
        r"NVRM: Xid \(PCI:0001:00:0[23]\): 79, .* GPU has fallen off the bus", evidence["devproxy.kernel-log"]
    )
    assert "Xid 79" in evidence["devproxy.findings"]
    recording = evidence["devproxy.recording"]
    assert recording.startswith(str(sessions.place / "artifacts"))
    nvidia = devproxy.probe(recording).nvidia
    assert nvidia is not None
    assert len(nvidia.gpus) == 2
