"""`devproxy job` killed at any moment: nothing that it started goes on, nobody has the devices, the folder can be read."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devproxy.jobs.listing import held, waiters
from devproxy.jobs.scope import IDENT, read_scope
from devproxy.jobs.state import State
from tests.devproxy.jobs.job.hosts import GPUS, HERE

pytestmark = pytest.mark.programs
# A daemon of its own session and one whose parent goes on, both with every descriptor closed but the first three.
# Nothing is started after `ready`: tests compare who is there.
SCRIPT = """
setsid sh -c 'sleep 600 & echo $! > {place}/daemon.new; mv {place}/daemon.new {place}/daemon; wait' </dev/null >/dev/null 2>&1 &
sleep 600 &
echo $! > {place}/child
while ! test -e {place}/daemon; do sleep 0.01; done
echo ready
exec sleep 600
"""


_STARTED: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    for child in _STARTED:  # where a test did not come to its end
        with child:
            child.kill()
    _STARTED.clear()


def start(place: Path, *words: str) -> subprocess.Popen[bytes]:
    script = SCRIPT.format(place=place)
    options = ["--state", f"{place}/leases", "--host", GPUS, "--artifacts", f"{place}/out", *words]
    argv = [sys.executable, "-m", "devproxy", "job", *options, "--", "sh", "-c", script]
    _STARTED.append(subprocess.Popen(argv, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
    return _STARTED[-1]


def remaining(mark: bytes) -> list[int]:
    """The processes that were started with something in their environment."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if mark in Path(f"/proc/{name}/environ").read_bytes():
                    found.append(int(name))
            except OSError:
                continue
    return found


def wait_until_gone(mark: bytes, state: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with State(state) as leases:
            if not held(leases) and not waiters(leases) and not remaining(mark):
                return
        time.sleep(0.02)
    raise AssertionError(f"still there: {remaining(mark)}")


def check_folder(folder: Path) -> None:
    """Whatever is there is whole."""
    for name in os.listdir(folder) if folder.exists() else ():
        path = folder / name
        if name.endswith(".json"):
            json.loads(path.read_text())
        elif name.endswith(".tar"):
            with tarfile.open(path) as archive:
                assert archive.getnames()[0] == "manifest.json"
        else:
            assert name.endswith((".log", ".txt", ".xml", ".html", ".new"))


def test_while_its_command_runs(tmp_path: Path) -> None:
    child = start(tmp_path)
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == b"ready\n"
    scope = read_scope(f"{tmp_path}/out/lease.json")
    mark = f"{IDENT}={scope.ident}\0".encode()
    assert len(remaining(mark)) >= 4
    child.kill()
    child.wait()
    wait_until_gone(mark, f"{tmp_path}/leases")
    check_folder(tmp_path / "out")
    told = json.loads((tmp_path / "out" / "job.json").read_text())
    assert told["state"] == "in the phase 'command'"
    assert told["devices"] == sorted(scope.names)


def test_the_guard_killed_too(tmp_path: Path) -> None:
    """Then the command goes with it, and its job says so."""
    child = start(tmp_path)
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == b"ready\n"
        (guard,) = (int(pid) for pid in Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split())
        os.kill(guard, signal.SIGKILL)
        assert child.wait(60) == 137
    told = json.loads((tmp_path / "out" / "job.json").read_text())
    assert told["command"]["ended"] == "lost with its guard"
    assert len([each for each in told["left"] if each["what"].startswith("process ") and each["gone"]]) >= 3
    wait_until_gone(f"DEVPROXY_ARTIFACTS={tmp_path}/out\0".encode(), f"{tmp_path}/leases")


def test_both_killed_at_once(tmp_path: Path) -> None:
    """The command goes; what it started is what `devproxy clean` is for, and the devices are leased until then."""
    child = start(tmp_path)
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == b"ready\n"
    (guard,) = (int(pid) for pid in Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split())
    child.send_signal(signal.SIGSTOP)
    os.kill(guard, signal.SIGKILL)
    child.kill()
    child.wait()
    mark = f"DEVPROXY_ARTIFACTS={tmp_path}/out\0".encode()
    assert remaining(mark)
    with State(f"{tmp_path}/leases") as leases:
        assert len(held(leases)) == 1
    clean = [sys.executable, "-m", "devproxy", "clean", "--lease", f"{tmp_path}/out/lease.json"]
    done = subprocess.run(
        [*clean, "--state", f"{tmp_path}/leases"], cwd=HERE, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert done.stdout.count("process") >= 3, done.stdout + done.stderr
    wait_until_gone(mark, f"{tmp_path}/leases")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("seed", range(2))
def test_at_any_moment(tmp_path: Path, seed: int, number: int) -> None:
    child = start(tmp_path)
    time.sleep(random.Random(seed).uniform(0.05, 0.7))
    child.send_signal(number)
    child.communicate()
    # Before devproxy's first line, SIGTERM kills as it kills anything.
    assert child.returncode in (-number, 128 + number)
    wait_until_gone(f"DEVPROXY_ARTIFACTS={tmp_path}/out\0".encode(), f"{tmp_path}/leases")
    check_folder(tmp_path / "out")
    again = start(tmp_path, "--timeout", "0", "--grace", "0")
    again.communicate(timeout=60)
    assert again.returncode == 124
    check_folder(tmp_path / "out")


def test_a_job_cleans_after_itself_alone(tmp_path: Path) -> None:
    """Beside another one, whose command and daemons go on."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    state = ("--state", f"{tmp_path}/leases")
    first = start(one, *state)
    second = start(other, *state)
    for child in (first, second):
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
    ours, theirs = (f"DEVPROXY_ARTIFACTS={place}/out\0".encode() for place in (one, other))
    before = remaining(theirs)
    first.send_signal(signal.SIGTERM)
    first.communicate()
    assert first.returncode == 143
    assert remaining(ours) == []
    assert remaining(theirs) == before
    second.send_signal(signal.SIGTERM)
    second.communicate()
    wait_until_gone(theirs, f"{tmp_path}/leases")
