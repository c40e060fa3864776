"""`devproxy run --pod`: containers of a pod as processes of their own, however they begin and end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.devproxy.pods.bundles import bundle, hints, mounted

pytestmark = [pytest.mark.root, pytest.mark.rows("S63", "S65", "H22", oracle="kernel")]

PODS = Path("/run/devproxy/pods")
PATIENCE = 60
WAIT = "while ! test -e /shared/stop; do sleep 0.02; done; cat /shared/*"


@pytest.fixture
def name() -> Iterator[str]:
    """A pod's name, of which nothing may be left."""
    made = f"test-{uuid.uuid4().hex[:12]}"
    yield made
    assert not (PODS / made).exists()


def start(directory: str, name: str, *options: str, command: str = "") -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "devproxy", "run", directory, "--pod", name, *options]
    words += ["--", "sh", "-c", command] if command else []
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def done(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def run(directory: str, name: str, *options: str, command: str = "") -> tuple[int, str, str]:
    return done(start(directory, name, *options, command=command))


def wait_for_line(process: subprocess.Popen[str], line: str) -> None:
    """Wait until a process has printed a line."""
    assert process.stdout is not None
    said = process.stdout.readline()
    assert said == f"{line}\n", (said, process.stderr and process.stderr.read())


def descendants() -> set[str]:
    """The mounts of every process that have to do with pods."""
    seen: set[str] = set()
    for table in Path("/proc").glob("[0-9]*/mountinfo"):
        try:
            seen.update(line for line in table.read_text().splitlines() if "devproxy-pod" in line)
        except OSError:
            continue
    return seen


def test_two_containers_share_a_volume(tmp_path: Path, name: str) -> None:
    (tmp_path / "volume").mkdir()
    source = str(tmp_path / "volume")
    first = bundle(tmp_path / "one", mounted("/shared", source=source), annotations=hints(source=source))
    second = bundle(tmp_path / "two", mounted("/shared", "noexec", source=source), mounted("/ro", "ro", source=source))
    one = start(first, name, command=f"echo one > /shared/a; stat -c %d /shared > /shared/b; echo ready; {WAIT}")
    wait_for_line(one, "ready")
    script = "cat /ro/a; stat -c %d /shared; touch /ro/x; cp /bin/busybox /shared/sh; /shared/sh true; echo $? > /shared/c; rm /shared/sh"
    code, out, err = run(second, name, "-v", command=f"{script}; touch /shared/stop")
    assert code == 0, err
    assert "joined, " in err
    assert "touch: /ro/x: Read-only file system" in err
    mine, told = out.split("\n")[1], done(one)
    assert out.startswith("one\n")
    assert told[:2] == (0, f"one\n{mine}\n126\n"), told
    assert os.listdir(source) == []
    assert descendants() == set()


@pytest.mark.rows("S64", oracle="specification")
def test_a_joiner_that_wants_more_is_bad_input(tmp_path: Path, name: str) -> None:
    first = bundle(tmp_path / "one", mounted("/shared", "noexec"), annotations=hints("noexec"))
    second = bundle(tmp_path / "two", mounted("/shared"))
    one = start(first, name, command=f"echo ready; {WAIT}")
    wait_for_line(one, "ready")
    code, _, err = run(second, name, command="true")
    assert code == 2
    assert "mounts[7], /shared is executable, but its volume vol is noexec" in err
    assert run(first, name, command="touch /shared/stop")[0] == 0
    assert done(one)[0] == 0


def test_a_name_that_is_none(tmp_path: Path) -> None:
    code, _, err = run(bundle(tmp_path / "one"), "../web")
    assert (code, "the pod's name is '../web'" in err) == (2, True)


@pytest.mark.parametrize("victim", ["first", "joiner"])
def test_a_killed_member_takes_nothing_along(tmp_path: Path, name: str, victim: str) -> None:
    plain = bundle(tmp_path / "one", mounted("/shared"), annotations=hints())
    first = start(plain, name, command=f"echo kept > /shared/a; echo ready; {WAIT}")
    wait_for_line(first, "ready")
    joiner = start(plain, name, command=f"echo ready; {WAIT}")
    wait_for_line(joiner, "ready")
    dying, staying = (first, joiner) if victim == "first" else (joiner, first)
    dying.kill()
    done(dying)
    code, out, err = run(plain, name, command="cat /shared/a; touch /shared/stop")
    assert (code, out) == (0, "kept\n"), err
    assert "removed what 1 killed members of pods left" in err
    assert done(staying)[:2] == (0, "kept\n")
    assert descendants() == set()


def test_what_the_last_one_leaves_when_it_is_killed_is_removed_by_the_next_pod(tmp_path: Path, name: str) -> None:
    plain = bundle(tmp_path / "one", mounted("/shared"), annotations=hints())
    lost = f"{name}-lost"
    one = start(plain, lost, command=f"echo ready; {WAIT}")
    wait_for_line(one, "ready")
    one.kill()
    done(one)
    assert descendants() == set()
    assert len(os.listdir(PODS / lost)) == 1
    code, out, err = run(plain, name, command="ls /shared")
    assert (code, out) == (0, ""), err
    assert "removed what 1 killed members of pods left" in err
    assert not (PODS / lost).exists()


def test_kill_at_any_moment(tmp_path: Path, name: str) -> None:
    """What is left is one member's file at most, and the next command removes it."""
    plain = bundle(tmp_path / "one", mounted("/shared"), annotations=hints())
    chance = random.Random(65)
    for _ in range(12):
        process = start(plain, name, command="sleep 5")
        time.sleep(chance.uniform(0, 0.25))
        process.send_signal(signal.SIGKILL)
        done(process)
        assert descendants() == set()
    assert run(plain, name, command="ls /shared")[:2] == (0, "")


def test_containers_that_start_at_once_are_in_one_pod(tmp_path: Path, name: str) -> None:
    plain = bundle(tmp_path / "one", mounted("/shared"), annotations=hints())
    number = 5
    script = f"touch /shared/$0; while test $(ls /shared | wc -l) -lt {number}; do sleep 0.02; done; stat -c %d /shared"
    running = [start(plain, name, command=f"set -- {index}; {script.replace('$0', '$1')}") for index in range(number)]
    results = [done(process) for process in running]
    assert [code for code, _, _ in results] == [0] * number, results
    assert len({out for _, out, _ in results}) == 1


def test_joining_while_the_last_one_leaves(tmp_path: Path, name: str) -> None:
    plain = bundle(tmp_path / "one", mounted("/shared"), annotations=hints())
    failed: list[object] = []

    def come_and_go() -> None:
        for _ in range(4):
            result = run(plain, name, command="echo x > /shared/file && cat /shared/file")
            if result[:2] != (0, "x\n"):
                failed.append(result)

    threads = [threading.Thread(target=come_and_go) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_container_does_not_reach_the_pod_nor_its_neighbours(tmp_path: Path, name: str) -> None:
    everything = ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_CHROOT", "CAP_MKNOD"]
    first = bundle(tmp_path / "one", mounted("/shared"), annotations=hints())
    one = start(first, name, command=f"echo secret > /private; echo ready; {WAIT}")
    wait_for_line(one, "ready")
    hostile = bundle(tmp_path / "two", mounted("/shared"), mounted("/ro", "ro"))
    document = Path(hostile, "config.json").read_text()
    Path(hostile, "config.json").write_text(
        document.replace('"CAP_KILL"', ", ".join(f'"{each}"' for each in everything))
    )
    script = """
        ls /run/devproxy /private 2>&1 | grep -v 'No such file'
        grep -e devproxy-pod -e pod.json /proc/*/mountinfo
        ls -l /proc/*/fd | grep -e 'mnt:' -e pod -e devproxy
        ls /shared/../private /shared/../../pod.json 2>&1 | grep -v 'No such file'
        ls /proc/1/root/private 2>&1 | grep -v 'No such file'
        umount /shared /ro || echo cannot
        touch /shared/not-there
        echo over
    """
    code, out, err = run(hostile, name, command=script)
    assert (code, out) == (0, "over\n"), err
    assert run(first, name, command="ls /shared; touch /shared/stop")[:2] == (0, "")
    assert done(one)[0] == 0


def test_a_namespace_of_a_neighbour_is_joined_by_its_path(tmp_path: Path, name: str) -> None:
    plain = bundle(tmp_path / "one", mounted("/shared"), annotations=hints(), hostname="pod-host")
    one = start(plain, name, command=f"echo ready; {WAIT}")
    wait_for_line(one, "ready")
    process = process_of(one.pid)
    joined = bundle(
        tmp_path / "two",
        mounted("/shared"),
        linux={
            "namespaces": [
                {"type": "uts", "path": f"/proc/{process}/ns/uts"},
                {"type": "network", "path": f"/proc/{process}/ns/net"},
                {"type": "pid"},
                {"type": "ipc"},
                {"type": "mount"},
            ]
        },
        hostname=None,
    )
    code, out, err = run(joined, name, command="hostname; readlink /proc/self/ns/net; touch /shared/stop")
    assert code == 0, err
    assert out.split("\n")[0] == "pod-host"
    assert out.split("\n")[1].startswith("net:[")
    assert done(one)[0] == 0


def process_of(devproxy: int) -> int:
    """The container's first process: the child of devproxy's that runs a shell."""
    children = Path(f"/proc/{devproxy}/task/{devproxy}/children").read_text().split()
    while children:
        child = int(children.pop())
        if Path(f"/proc/{child}/comm").read_text().strip() == "sh":
            return child
        children += Path(f"/proc/{child}/task/{child}/children").read_text().split()
    raise AssertionError("no shell runs")
