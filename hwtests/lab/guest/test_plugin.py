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


class Session(NamedTuple):
    """What it said, and its directory."""

    done: Completed
    place: Path


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """Beside a process that holds a GPU, which it has not leased: this one."""
    place = tmp_path_factory.mktemp("session")
    (place / "pytest.ini").write_text("[pytest]\ndevproxy_evidence_timeout = 120\ndevproxy_artifacts = artifacts\n")
    (place / "test_there.py").write_text(TESTS)
    words = ["-p", "devproxy.pytest_plugin", "-p", "xdist.plugin", "-p", "no:cacheprovider", "--junitxml=junit.xml"]
    command = [sys.executable, "-m", "pytest", *words, "-n", "2", "-v", f"--basetemp={place}/tmp"]
    held = os.open("/dev/nvidia0", os.O_RDWR | os.O_CLOEXEC)
    try:
        done = run(command, check=False, cwd=str(place), timeout=240)
    finally:
        os.close(held)
    yield Session(done, place)
    reload_nvidia(whole=True)
    make_nodes()


def test_each_has_a_device_of_its_own_which_nobody_holds(session: Session) -> None:
    done = session.done
    assert "1 failed, 6 passed, 1 error" in done.out, done.out + done.err
    lines = [line.split() for line in (session.place / "log").read_text().splitlines()]
    assert {node for _, node in lines} == {"/dev/nvidia1", "/dev/nvidia2"}
    assert len({pid for pid, _ in lines}) == 2


def test_what_cannot_be_is_told_at_once(session: Session) -> None:
    assert "4 gpus asked for, of which this host has 3: 3 gpu" in session.done.out


def test_a_failed_test_has_the_kernels_log_and_a_recording(session: Session) -> None:
    found = ET.fromstring((session.place / "junit.xml").read_text()).iter("testcase")
    told = {each.get("name"): {p.get("name"): p.get("value", "") for p in each.iter("property")} for each in found}
    evidence = told.pop("test_falls_off_the_bus")
    assert not any(told.values())
    assert re.search(
        r"NVRM: Xid \(PCI:0001:00:0[23]\): 79, .* GPU has fallen off the bus", evidence["devproxy.kernel-log"]
    )
    assert "Xid 79" in evidence["devproxy.findings"]
    recording = evidence["devproxy.recording"]
    assert recording.startswith(str(session.place / "artifacts"))
    nvidia = devproxy.probe(recording).nvidia
    assert nvidia is not None
    assert len(nvidia.gpus) == 2
