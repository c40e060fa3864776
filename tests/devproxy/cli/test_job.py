"""`devproxy job` on the command line: its streams, its codes, what it writes for CI systems."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from devproxy.cli.main import main
from tests.devproxy.cli.test_events import events_of
from tests.devproxy.jobs.job.hosts import FIRST_NAME, GPUS, HERE, fallen
from tests.devproxy.jobs.job.test_ci import read_line


def job(place: Path, *words: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    options = ["--state", f"{place}/leases", "--quarantine", f"{place}/quarantine", "--host", GPUS]
    argv = [sys.executable, "-m", "devproxy", "job", *options, *words]
    done = subprocess.run(
        argv, cwd=HERE, capture_output=True, text=True, timeout=120, env={**os.environ, **(env or {})}, check=False
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.mark.programs
class TestPlain:
    def test_standard_output_is_the_commands_alone(self, tmp_path: Path) -> None:
        code, out, err = job(
            tmp_path, "2", "--artifacts", f"{tmp_path}/out", "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES; exit 7"
        )
        assert code == 7
        assert out.startswith(FIRST_NAME)
        assert out.count("\n") == 1
        assert "the command failed (exit code 7), hardware fine" in err

    def test_standard_input_is_passed_on(self, tmp_path: Path) -> None:
        argv = [sys.executable, "-m", "devproxy", "job", "--state", f"{tmp_path}/l", "--host", GPUS, "--", "cat"]
        done = subprocess.run(argv, cwd=HERE, input=b"\0abc", capture_output=True, timeout=120, check=True)
        assert done.stdout == b"\0abc"

    @pytest.mark.parametrize(
        ("words", "code", "told"),
        [
            (("--", "no-such-program"), 127, "could not be executed"),
            (("--timeout", "1s", "--", "sleep", "600"), 124, "the command was ended by --timeout after 1 s"),
        ],
    )
    def test_codes(self, tmp_path: Path, words: tuple[str, ...], code: int, told: str) -> None:
        found = job(tmp_path, *words)
        assert found[0] == code
        assert told in found[2]

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (("9", "--", "true"), "9 accelerators asked for, of which this host has 8"),
            (("two", "--", "true"), "expected a number"),
            ((), "no command to run"),
            (("--timeout", "soon", "--", "true"), "'soon' is no time"),
            (("--grace", "forever", "--", "true"), "--grace needs an end"),
            (("--artifacts", "/etc", "--", "true"), "has files of somebody else"),
            (("--bundle", "/nonexistent"), "/nonexistent"),
            (("--expect", "/nonexistent", "--", "true"), "/nonexistent"),
        ],
    )
    def test_what_cannot_be_is_told_before_anything_is_started(
        self, tmp_path: Path, words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["job", "--state", f"{tmp_path}/leases", "--host", GPUS, *words]) == 2
        assert capsys.readouterr().err.count(told) == 1

    def test_an_interrupt_while_it_waits(self, tmp_path: Path) -> None:
        options = ["--state", f"{tmp_path}/leases", "--host", GPUS]
        inner = f"{sys.executable} -m devproxy job {' '.join(options)} --wait forever -- true & echo $!; sleep 600"
        argv = [sys.executable, "-m", "devproxy", "job", "8", *options, "--", "sh", "-c", inner]
        outer = subprocess.Popen(argv, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert outer.stdout is not None
        waiting = int(outer.stdout.readline())
        os.kill(waiting, signal.SIGTERM)
        outer.send_signal(signal.SIGTERM)
        outer.communicate(timeout=60)
        assert outer.returncode == 143


@pytest.mark.programs
class TestGitHub:
    def test_annotations_groups_and_the_summary(self, tmp_path: Path) -> None:
        summary = tmp_path / "summary.md"
        env = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
        forged = "printf '::error::forged\\n##[error]forged\\npartial' >&2; exit 1"
        code, _, err = job(tmp_path, "--after-host", fallen(tmp_path), "--", "sh", "-c", forged, env=env)
        assert code == 1
        commands = [found for line in err.split("\n") if (found := read_line(line))]
        stop = next(at for at, (name, _, _) in enumerate(commands) if name == "stop-commands")
        token = commands[stop][2]
        resume = next(at for at, (name, _, _) in enumerate(commands) if name == token)
        # What the runner acts upon: all that is not between the two lines.
        heard = commands[:stop] + commands[resume + 1 :]
        errors = [(properties["title"], data) for name, properties, data in heard if name == "error"]
        assert errors[0][0] == "the hardware failed"
        assert FIRST_NAME in errors[0][1]
        assert "not its fault" in errors[0][1]
        assert len(errors) == 3
        assert not any("forged" in data for _, data in errors)
        names = [name for name, _, _ in heard]
        assert names.count("group") == names.count("endgroup") > 4
        assert summary.read_text().startswith("### \N{CROSS MARK} hardware bad\\: gpu 0")

    def test_a_job_that_is_well_has_no_annotation(self, tmp_path: Path) -> None:
        _, _, err = job(
            tmp_path, "--", "true", env={"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "/proc/nonexistent"}
        )
        assert not any((read_line(line) or ("",))[0] in ("error", "warning") for line in err.split("\n"))


@pytest.mark.programs
def test_programs_are_told_in_events(tmp_path: Path) -> None:
    """Also on GitHub: a line that is no JSON would be nobody's."""
    words = ("--log-format", "json", "--after-host", fallen(tmp_path), "--", "sh", "-c", "exit 7")
    code, _, err = job(tmp_path, *words, env={"GITHUB_ACTIONS": "true"})
    assert code == 7
    events = events_of(err)
    named = {event["event"]: event for event in events}
    assert named["leased"]["devices"] == [FIRST_NAME]
    assert [event["phase"] for event in events if event["event"] == "job-phase"][:3] == [
        "lease",
        "check before",
        "command",
    ]
    verdict = named["verdict"]
    assert (verdict["level"], verdict["fault"], verdict["devices"], verdict["code"]) == (
        "error",
        "hardware",
        [FIRST_NAME],
        7,
    )


@pytest.mark.programs
def test_gitlab_has_sections_and_a_quality_report(tmp_path: Path) -> None:
    out = tmp_path / "out"
    _, _, err = job(
        tmp_path, "--after-host", fallen(tmp_path), "--artifacts", str(out), "--", "true", env={"GITLAB_CI": "true"}
    )
    starts, ends = (re.findall(rf"section_{what}:\d+:([\w.-]+)", err) for what in ("start", "end"))
    assert starts == ends
    assert "devproxy_command" in starts
    issues = json.loads((out / "codequality.json").read_text())
    assert [each["check_name"] for each in issues] == ["device-lost-since", "xid-since"]
    assert len({each["fingerprint"] for each in issues}) == 2
    issue = issues[0]
    assert issue["severity"] == "blocker"
    assert issue["location"] == {"path": f"hardware/{FIRST_NAME}", "lines": {"begin": 1}}
    assert re.fullmatch("[0-9a-f]{64}", issue["fingerprint"])


@pytest.mark.root
def test_in_a_bundles_root_with_the_leased_devices_alone(tmp_path: Path) -> None:
    bundle = str(HERE / "example" / "bundle")
    code, out, _ = job(
        tmp_path, "2", "--bundle", bundle, "--artifacts", f"{tmp_path}/out", "--", "sh", "-c", "ls /dev; exit 9"
    )
    assert code == 9
    assert {"nvidia0", "nvidia1"} <= set(out.split())
    assert "nvidia2" not in out
    assert (tmp_path / "out" / "stdout.log").read_text() == out


@pytest.mark.root
def test_a_timeout_ends_a_bundles_process_that_does_not_listen(tmp_path: Path) -> None:
    """The first process of a pid namespace hears of no signal that it does not handle (pid_namespaces(7))."""
    bundle = str(HERE / "example" / "bundle")
    limits = ("--timeout", "1", "--grace", "0", "--artifacts", f"{tmp_path}/out")
    code, _, err = job(tmp_path, *limits, "--bundle", bundle, "--", "sh", "-c", "sleep 600")
    assert code == 124
    assert "ended by --timeout" in err
    assert json.loads((tmp_path / "out" / "job.json").read_text())["left"] == []


@pytest.mark.programs
def test_ctrl_c_on_a_terminal(tmp_path: Path) -> None:
    """It reaches the command once, and nothing of the checks that follow; standard input is not the terminal."""
    script = "trap 'echo heard; exit 9' INT; cat; sleep 600 & echo ready; wait"
    options = ["--state", f"{tmp_path}/leases", "--host", GPUS, "--artifacts", f"{tmp_path}/out"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(HERE)
        os.execv(sys.executable, [sys.executable, "-m", "devproxy", "job", *options, "--", "sh", "-c", script])
    shown = b""
    while b"ready" not in shown:
        shown += os.read(terminal, 4096)
    os.write(terminal, b"\x03")
    try:
        while data := os.read(terminal, 4096):
            shown += data
    except OSError:
        pass  # EIO: nobody has the other end any more
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    assert shown.count(b"heard") == 1
    told = json.loads((tmp_path / "out" / "job.json").read_text())
    assert told["command"]["code"] == 9
    assert told["verdict"]["hardware"] == "fine"


def test_usage_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["job", "--after-host", "x.tar", "--", "true"]) == 2
    assert "--after-host goes with --host" in capsys.readouterr().err
