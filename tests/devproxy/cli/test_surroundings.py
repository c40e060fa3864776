"""Where people run it at night: in chroots and containers, without sysfs, with a /proc that hides. Useful output, the
documented code, and never `no accelerator` for what could not be seen.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from devproxy.check.doctor.examine import doctor
from devproxy.cli.main import main
from devproxy.host.probe import probe, probe_reader
from tests.hosts.machine import Machine
from tests.hosts.make import cpu_only

DEVPROXY: Final = (sys.executable, "-m", "devproxy")
ROOT: Final = Path(__file__).parents[3]
BUNDLE: Final = str(ROOT / "example" / "bundle")
RECORDED: Final = str(ROOT / "example" / "host-8gpu.tar")
TPUS: Final = str(ROOT / "tests" / "hosts" / "tpu-without-driver.tar")


def run(*words: str, setup: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    """devproxy as a program; with `setup` in a mount namespace of its own, where a shell has done that before."""
    argv = [*DEVPROXY, *words]
    if setup:
        script = f'{setup} && exec "$@"'
        argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *argv]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
    done = subprocess.run(argv, text=True, timeout=60, check=False, **streams)
    assert "Traceback" not in (done.stderr or "") + (done.stdout or "")
    assert "a defect of devproxy" not in (done.stderr or "")
    return done


def as_nobody(setup: str, *words: str) -> subprocess.CompletedProcess[str]:
    """The same by a user who is nobody: root makes the place, and an interpreter that has loaded everything goes in."""
    program = """
import os, subprocess, sys
import tests.unprivileged
from devproxy.cli.main import main
from devproxy.linux.namespaces import CLONE, unshare
main(["doctor", "--json", "--host", sys.argv[2]])
sys.stdout.flush()
os.ftruncate(1, 0)
os.lseek(1, 0, os.SEEK_SET)
unshare(CLONE["mount"])
subprocess.run(["sh", "-c", "mount --make-rprivate / && " + sys.argv[1]], check=True)
tests.unprivileged.drop_root()
code = main(sys.argv[3:])
sys.stdout.flush()
os._exit(code)
"""
    import tempfile

    with tempfile.TemporaryFile("w+") as out:
        argv = [sys.executable, "-c", program, setup, TPUS, *words]
        done = subprocess.run(argv, cwd=ROOT, stdout=out, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        out.seek(0)
        told = out.read()
    assert "Traceback" not in done.stderr + told
    assert "a defect of devproxy" not in done.stderr
    return subprocess.CompletedProcess(argv, done.returncode, told, done.stderr)


# what cannot be seen


BLIND: Final = {
    "no sysfs": ("mount -t tmpfs none /sys", "/sys"),
    "no proc": ("mount -t tmpfs none /proc", "/proc"),
    "an empty /dev": ("mount -t tmpfs none /dev", "/dev"),
}


@pytest.mark.root
@pytest.mark.programs
@pytest.mark.parametrize(("setup", "place"), BLIND.values(), ids=BLIND)
def test_an_empty_place_is_inconclusive(setup: str, place: str) -> None:
    done = run("doctor", "--text", setup=setup)
    assert done.returncode == 4, done.stdout
    assert f"inconclusive accelerators-unseen: {place}\n" in done.stdout
    last = done.stdout.rstrip().splitlines()[-1]
    assert last.startswith("inconclusive: ")
    assert "no accelerator" not in last
    shown = run("probe", "--text", setup=setup)
    assert shown.returncode == 0
    assert place in shown.stdout[shown.stdout.index("NOT SEEN") :]
    lease = run("lease", "1", "--", "true", setup=setup)
    assert lease.returncode == 2
    assert f"{place} could not be seen" in lease.stderr
    if place != "/dev":
        assert "no NVIDIA GPU was seen" in shown.stdout


@pytest.mark.root
@pytest.mark.programs
@pytest.mark.parametrize("verb", ["lease list", "lease 1 -- true", "inspect", "run", "verify"])
def test_that_there_is_no_proc_is_what_the_message_says(verb: str, tmp_path: Path) -> None:
    words = verb.split()
    words[1:1] = [BUNDLE] if words[0] != "lease" else []
    words[2:2] = ["--host", RECORDED, "--state", str(tmp_path / "state")] if words[0] == "lease" else []
    words += ["ls", "/usr"] if words[0] == "inspect" else []
    done = run(*words, setup="mount -t tmpfs none /proc")
    assert done.returncode == (125 if words[0] == "run" else 1), done.stderr
    assert "mount -t proc proc /proc" in done.stderr


@pytest.mark.root
@pytest.mark.programs
def test_a_job_needs_no_null_device_and_a_container_says_that_it_does(tmp_path: Path) -> None:
    options = ("--host", RECORDED, "--after-host", RECORDED, "--state", str(tmp_path / "state"))
    done = run("job", *options, "--", "sh", "-c", "exit 7", setup="mount -t tmpfs none /dev")
    assert done.returncode == 7, done.stderr
    done = run("run", BUNDLE, "--mode", "none", setup="mount -t tmpfs none /dev")
    assert done.returncode == 125
    assert "mknod -m 666 /dev/null c 1 3" in done.stderr


@pytest.mark.root
@pytest.mark.programs
@pytest.mark.parametrize("place", ["/sys", "/proc/devices"])
def test_a_place_that_may_not_be_read_is_inconclusive(place: str) -> None:
    setups = {
        "/sys": "mount -t tmpfs -o mode=0700 none /sys",
        "/proc/devices": "touch /mnt/closed && chmod 0 /mnt/closed && mount --bind /mnt/closed /proc/devices",
    }
    done = as_nobody(f"mount -t tmpfs none /mnt && {setups[place]}", "doctor", "--text")
    assert done.returncode == 4, done.stdout
    assert "EACCES: Permission denied" in done.stdout
    assert "no error found" not in done.stdout


@pytest.mark.root
@pytest.mark.programs
def test_processes_that_proc_hides_are_not_said_to_hold_nothing() -> None:
    done = as_nobody("mount -t proc -o hidepid=2 proc /proc", "probe", "--text")
    assert done.returncode == 0, done.stderr
    assert "who holds devices" in done.stdout[done.stdout.index("NOT SEEN") :]
    assert as_nobody("mount -t proc -o hidepid=2 proc /proc", "doctor", "--text").returncode in (0, 3, 4)


def machine(make: Callable[[], Machine] = cpu_only) -> Any:
    return probe_reader(make(), name="machine", simulated=True, deep=True)


def test_a_machine_without_accelerators_is_none_that_was_not_seen() -> None:
    """The oracle is a machine that tells everything: it has no accelerator, and that is known."""
    codes = {finding.code for finding in doctor(machine()).findings}
    assert "accelerators-unseen" not in codes
    seen = {finding.path for finding in doctor(machine(Machine)).findings if finding.code == "accelerators-unseen"}
    assert seen == {"/sys", "/proc", "/dev"}


def test_a_plain_probe_is_judged_as_blind_too() -> None:
    plain = probe_reader(Machine(), name="machine", simulated=True)
    assert doctor(plain).exit_code == 4


@pytest.mark.programs
def test_this_machine_can_be_seen() -> None:
    assert "accelerators-unseen" not in {finding.code for finding in doctor(probe(deep=True)).findings}


@pytest.mark.root
@pytest.mark.programs
@pytest.mark.parametrize(
    ("kept", "told", "hint"),
    [
        ("-all", "a user namespace for uid 0 cannot be made: operation not permitted", "--cap-add SYS_ADMIN"),
        (
            "-all,+sys_admin",
            "the loopback interface of the new network namespace cannot be brought up",
            "--cap-add NET_ADMIN",
        ),
        ("-all,+setfcap", "", ""),
    ],
)
def test_root_that_lacks_capabilities_is_told_which(kept: str, told: str, hint: str) -> None:
    """As root of a container, who is no ordinary user that could become root."""
    argv = ["setpriv", f"--bounding-set={kept}", *DEVPROXY, "run", BUNDLE, "--mode", "none", "-q", "--", "/bin/true"]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
    assert done.returncode == (125 if told else 0), done.stderr
    assert told in done.stderr
    assert hint in done.stderr
    assert "run it as root" not in done.stderr


# streams, terminals, places to write


@pytest.mark.programs
@pytest.mark.parametrize(
    ("verb", "code"), [(("probe",), 0), (("doctor", "--host", TPUS), 3), (("diff", TPUS, TPUS), 0)]
)
def test_closed_streams(verb: tuple[str, ...], code: int) -> None:
    script = '"$@" <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", script, "sh", *DEVPROXY, *verb], timeout=60, check=False)
    assert done.returncode == code


@pytest.mark.programs
@pytest.mark.parametrize(
    "verb",
    [
        ("probe", "--text"),
        ("doctor", "--host", TPUS, "--text"),
        ("doctor", "--list"),
        ("diff", TPUS, TPUS),
        ("diff", TPUS, str(ROOT / "example/host-8gpu.tar")),
        ("quarantine", "list", "--place", "/nowhere"),
        ("inspect", BUNDLE, "--mode", "none", "ls", "/dev"),
        ("inspect", BUNDLE, "--mode", "none", "cat", "/proc/version"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_told_and_fails(verb: tuple[str, ...], unbuffered: str) -> None:
    """Whether Python meets the full disk at each line, or, where little was written, only at the end."""
    with open("/dev/full", "wb") as full:
        done = run(*verb, stdout=full, env={**os.environ, "PYTHONUNBUFFERED": unbuffered})
    assert (done.returncode, done.stderr) == (
        1,
        "devproxy: error: cannot write to standard output: no space left on device\n",
    )


@pytest.mark.root
@pytest.mark.programs
def test_a_read_only_file_system_is_told_as_one(tmp_path: Path) -> None:
    setup = f"mount -t tmpfs -o ro none {tmp_path}"
    for words in (
        ("record", f"{tmp_path}/host.tar"),
        ("run", BUNDLE, "--mode", "none", "--save", f"{tmp_path}/work.tar"),
    ):
        done = run(*words, setup=setup)
        assert done.returncode == 2
        assert f"{tmp_path} is on a read-only file system" in done.stderr


@pytest.mark.root
@pytest.mark.programs
def test_a_page_that_could_not_be_written_is_not_named(tmp_path: Path) -> None:
    options = ("--host", RECORDED, "--after-host", RECORDED, "--state", str(tmp_path / "state"))
    (tmp_path / "full").mkdir()
    setup = f"mount -t tmpfs -o size=8k none {tmp_path}/full"
    done = run("job", *options, "--artifacts", f"{tmp_path}/full/out", "--", "true", setup=setup)
    assert done.returncode == 125, done.stderr
    assert done.stderr.endswith(f"devproxy: artifacts: {tmp_path}/full/out\n")


@pytest.mark.programs
@pytest.mark.parametrize("words", ["--version", "--help", "doctor --help"])
def test_help_that_cannot_be_written(words: str) -> None:
    with open("/dev/full", "wb") as full:
        done = run(*words.split(), stdout=full, env={**os.environ, "PYTHONUNBUFFERED": ""})
    assert (done.returncode, done.stderr) == (
        1,
        "devproxy: error: cannot write to standard output: no space left on device\n",
    )


@pytest.mark.programs
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_messages_that_go_nowhere_stop_no_work(unbuffered: str, tmp_path: Path) -> None:
    """Standard error is closed at its other end, or its disk is full: a recording is made, and a container runs."""
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full", "wb") as full, open(writer, "wb") as broken:
        for number, err in enumerate((full, broken)):
            file = tmp_path / f"{number}.tar"
            assert run("record", str(file), stderr=err, env=environment).returncode == 0
            assert run("diff", str(file), str(file), "--text").stdout == "no differences between these recordings\n"
            seven = run(
                "run", BUNDLE, "--mode", "none", "-v", "--", "/bin/sh", "-c", "exit 7", stderr=err, env=environment
            )
            assert seven.returncode == 7
            listed = run(
                "lease", "list", "--log-format", "json", "--json", "--state", str(tmp_path), stderr=err, env=environment
            )
            assert (listed.returncode, json.loads(listed.stdout)) == (0, {"held": [], "waiting": []})
            assert run("plan", str(tmp_path), stderr=err, env=environment).returncode == 2


@pytest.mark.programs
def test_a_reader_that_is_gone_is_no_error_to_tell() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run("doctor", "--host", TPUS, "--text", stdout=writer)
    finally:
        os.close(writer)
    assert done.returncode in (141, -signal.SIGPIPE)
    assert done.stderr == ""


@pytest.mark.programs
def test_a_plain_locale_and_a_narrow_terminal() -> None:
    environment = {**os.environ, "LC_ALL": "C", "LANG": "C", "COLUMNS": "20", "TERM": "dumb", "PYTHONUTF8": "0"}
    done = run("doctor", "--host", TPUS, "--text", env=environment)
    assert done.returncode == 3
    assert "error driver-not-loaded" in done.stdout


@pytest.mark.programs
@pytest.mark.parametrize(("encoding", "line"), [("ascii", "|-- char"), ("latin-1", "|-- char"), ("utf-8", "├── char")])
def test_a_tree_has_lines_that_the_terminal_can_show(encoding: str, line: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    words = ("inspect", BUNDLE, "--mode", "none", "--text", "tree", "/dev")
    done = run(*words, env=environment, encoding=encoding)
    assert done.returncode == 0
    assert line in done.stdout.splitlines()
    assert "\\u2" not in done.stdout


@pytest.mark.programs
def test_a_home_that_is_none() -> None:
    for home in ("/proc/none", "/dev/null"):
        environment = {**os.environ, "HOME": home, "XDG_CACHE_HOME": home, "XDG_RUNTIME_DIR": home}
        assert run("probe", "--text", env=environment).returncode == 0
        assert run("doctor", "--host", TPUS, "--text", env=environment).returncode == 3


@pytest.mark.programs
def test_an_empty_report_is_not_one_without_errors(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name in ("-", str(tmp_path / "empty"), str(tmp_path)):
        done = run("doctor", "--report", name)
        assert (done.returncode, done.stdout) == (2, "")
        assert "there is no text in" in done.stderr


# Ctrl-C


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("probe",), "devproxy.cli.probe.probe"),
        (("doctor",), "devproxy.cli.doctor.probe"),
        (("doctor", "--host", TPUS), "devproxy.cli.doctor.examine"),
        (("doctor", "--report", "-"), "devproxy.bugreport.report.read_documents"),
        (("diff", TPUS, TPUS), "devproxy.cli.diff.run"),
    ],
    ids=" ".join,
)
def test_an_interrupt_is_130_and_silent(
    words: tuple[str, ...], where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(where, interrupt)
    assert main(list(words)) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.programs
@pytest.mark.parametrize("command", [("sh", "-c", "echo ready; exec sleep 30")])
def test_an_interrupt_ends_a_lease_and_its_command(command: tuple[str, ...], tmp_path: Path) -> None:
    """The command is interrupted as a terminal would do it, with its lessor; the next lease is not kept waiting."""
    state = str(tmp_path / "state")
    lease = [*DEVPROXY, "lease", "1", "--state", state, "--host", str(ROOT / "example/host-8gpu.tar")]
    child = subprocess.Popen([*lease, "--", *command], stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    os.killpg(child.pid, signal.SIGINT)
    child.communicate(timeout=30)
    assert child.returncode in (130, -signal.SIGINT)
    listed = run("lease", "list", "--state", state, "--host", str(ROOT / "example/host-8gpu.tar"), "--json")
    assert listed.returncode == 0
    assert "sleep" not in json.dumps(json.loads(listed.stdout))
