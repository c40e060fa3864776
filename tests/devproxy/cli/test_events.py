"""`--log-format json` and `--timings`: what programs and people are told of the work, as docs/events.md says it."""

from __future__ import annotations

import json
import os
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from devproxy.check.finding import Report, error
from devproxy.cli import run as run_module
from devproxy.cli.main import main
from devproxy.process import run
from tests.bundles import runc_spec_like, write_bundle

DOCUMENT = (Path(__file__).parents[3] / "docs" / "events.md").read_text()
COMMON = {"time", "level", "event", "msg"}
root = pytest.mark.root


def _tables() -> dict[str, list[list[str]]]:
    """The rows of the document's tables, by the name of their first column."""
    tables: dict[str, list[list[str]]] = {}
    for block in re.findall(r"(?:^\|.*\n)+", DOCUMENT, re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in block.splitlines()]
        tables[rows[0][0]] = rows[2:]
    return tables


def _documented() -> dict[str, tuple[set[str], set[str], set[str]]]:
    """Each event with its levels, the fields that it always has, and those that it may have."""
    events = {}
    for name, levels, fields in _tables()["event"]:
        may = set(re.findall(r"\[`(\w+)`", fields))
        outside = re.sub(r"\[[^]]*\]", "", fields)
        events[name.strip("`")] = (set(levels.split(", ")), set(re.findall(r"`(\w+)`", outside)), may)
    return events


EVENTS = _documented()
PHASES = {name for row in _tables()["phase"] for name in re.findall(r"`([\w-]+)`", row[0])}


def events_of(err: str) -> list[dict[str, Any]]:
    """Every line of standard error, held to the document."""
    told = []
    for line in err.splitlines():
        event = json.loads(line)
        line.encode("ascii")
        levels, always, may = EVENTS[event["event"]]
        assert event["level"] in levels
        assert COMMON | always <= event.keys() <= COMMON | always | may, event
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event["time"])
        assert datetime.fromisoformat(event["time"]).utcoffset() == timedelta(0)
        assert all(type(event[name]) is float for name in event.keys() & {"duration_ms"})
        told.append(event)
    assert [event["time"] for event in told] == sorted(event["time"] for event in told)
    return told


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in events if event["event"] != "step"]


def told(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return events_of(capfd.readouterr().err)


@root
def test_a_run_from_start_to_end(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_bundle(tmp_path / "b", runc_spec_like(process={"args": ["sh", "-c", "exit 7"]}))
    assert main(["run", path, "--log-format", "json"]) == 7
    events = told(capfd)
    phases = [event["phase"] for event in events if event["event"] == "phase"]
    assert phases == ["start-up", "load", "probe", "plan", "build", "tell", "check", "launch", "process", "close"]
    assert [name for name in names(events) if name != "phase"] == ["start", "process-started", "process-ended", "end"]
    assert events[0]["event"] == "start"
    assert events[0]["pid"] == os.getpid()
    assert events[-1]["code"] == 7
    total = sum(event["duration_ms"] for event in events if event["event"] == "phase")
    assert events[-1]["duration_ms"] == pytest.approx(total, abs=0.02)
    steps = [event for event in events if event["event"] == "step"]
    assert [step["number"] for step in steps] == list(range(1, len(steps) + 1))
    by_path = {(step["kind"], step["path"]): step for step in steps}
    assert by_path["MountFilesystem", "/proc"]["why"] == "mounts[0]"
    assert by_path["MountFilesystem", "/proc"]["result"] == "done"
    assert by_path["MountFilesystem", "/tmp"]["found"] == "/tmp is empty"
    assert by_path["Skip", "/sys/fs/cgroup"]["result"] == "skipped"


@root
def test_findings_are_events_and_nothing_is_started(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = error("node-number-wrong", "/dev/null", "1:3", "1:5", "rule: contents of /dev")
    monkeypatch.setattr(run_module, "check_outcomes", lambda _: Report((finding,), ()))
    path = write_bundle(tmp_path / "b", runc_spec_like(process={"args": ["true"]}))
    assert main(["run", path, "--log-format", "json"]) == 125
    events = told(capfd)
    assert "process-started" not in names(events)
    [found] = [event for event in events if event["event"] == "finding"]
    assert (found["code"], found["path"], found["expected"]) == ("node-number-wrong", "/dev/null", "1:3")
    assert "failed" in {event.get("phase") for event in events}
    monkeypatch.undo()
    monkeypatch.setattr("devproxy.cli.verify.verify", lambda plan, root: Report((finding,), ()))
    assert main(["verify", path, "--log-format", "json"]) == 3
    assert "finding" in names(told(capfd))


def test_memory_and_plan_have_phases_of_their_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_bundle(tmp_path / "b", runc_spec_like())
    for words, last in ((["plan", path], "print"), (["inspect", path, "ls", "/dev"], "look")):
        assert main([*words, "--log-format", "json", "-v"]) == 0
        phases = [event["phase"] for event in told(capfd) if event["event"] == "phase"]
        assert phases[-2:] == [last, "close"]
        assert set(phases) <= PHASES


def test_quiet_tells_errors_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_bundle(tmp_path / "b", runc_spec_like(hooks={"poststop": [{"path": "/bin/true"}]}))
    assert main(["inspect", path, "ls", "--log-format", "json", "-q"]) == 0
    assert told(capfd) == []
    assert main(["inspect", path, "ls", "/none", "--log-format", "json", "-q"]) == 1
    assert names(told(capfd)) == ["error"]


@pytest.mark.parametrize(
    "words",
    [
        ["--log-format=json"],
        ["--log-format", "json", "nosuch"],
        ["plan", "--log-format", "json"],
        ["plan", ".", "--nosuch\n\udcff", "--log-format", "json"],
        ["inspect", ".", "nosuch", "--log-format", "json"],
        ["run", ".", "--mode", "nosuch", "--log-format", "json"],
        ["run", ".", "--log-format", "json", "--config"],
        ["plan", ".", "--log-format", "json", "--set", "x"],
        ["plan", ".", "--log-format", "json", "--set", "\udcff=\n"],
        ["plan", ".", "--log-format", "json", "--", "x"],
        ["plan", ".", "--log-format", "json", "--config", "/no/\udcfe\x1b\n"],
    ],
)
def test_a_usage_error_is_an_event(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    [event] = told(capfd)
    assert (event["event"], event["level"]) == ("error", "error")
    assert event["msg"]


def test_the_last_format_is_the_one_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--log-format", "json", "--log-format", "text", "nosuch"])
    assert capfd.readouterr().err.startswith("usage: ")


def test_help_is_no_event(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan", "--help", "--log-format", "json"])
    assert ended.value.code == 0
    assert capfd.readouterr().err == ""


STRANGE = ["\udcff", "\x1b[31m", "\n", "\u2028", "é", "\x00", "\U0001f600", '"', "\\"]


@pytest.mark.parametrize("strange", STRANGE, ids=ascii)
def test_whatever_is_in_names_every_line_is_json(
    strange: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if "\x00" not in strange:
        path = write_bundle(tmp_path / f"b{strange}", runc_spec_like(), rootfs="empty")
        assert main(["inspect", path, "ls", f"/n{strange}", "--log-format", "json", "-v"]) == 1
        events = told(capfd)
        assert any("rootfs" in event.get("step", "") for event in events)
        assert events[-1]["code"] == 1
    config = runc_spec_like(hooks={"poststop": [{"path": f"/x{strange}"}]}, annotations={f"dev{strange}": strange})
    if strange == "\udcff":
        config = runc_spec_like(hostname=strange)
    path = write_bundle(tmp_path / "c", config, rootfs="empty")
    main(["plan", path, "--log-format", "json", "-v"])
    assert told(capfd)[-1]["event"] == "end"


@pytest.mark.programs
def test_a_process_of_its_own_tells_events_alone(tmp_path: Path) -> None:
    import sys

    path = write_bundle(tmp_path / "b", runc_spec_like(), rootfs="empty")
    for words, code in ((["plan", path], 0), (["plan", f"{path}x"], 2), (["nosuch"], 2)):
        done = run([sys.executable, "-m", "devproxy", "--log-format", "json", *words], check=False)
        assert done.code == code
        assert names(events_of(done.err))


# timings


def _table(err: str) -> tuple[dict[str, tuple[float, str]], list[str]]:
    """The costs and shares by phase, and the lines of the dearest steps."""
    phases, _, steps = err.partition("\n\n")
    rows = [line.split() for line in phases.splitlines()]
    assert rows[0] == ["phase", "ms", "share"]
    return {name: (float(cost), share) for name, cost, share in rows[1:]}, steps.splitlines()


def test_timings_of_memory_as_a_table(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_bundle(tmp_path / "b", runc_spec_like())
    assert main(["inspect", path, "ls", "--timings"]) == 0
    phases, steps = _table(capfd.readouterr().err)
    expected = ["start-up", "load", "probe", "plan", "build", "target", "sources", "steps", "finish", "tell", "look"]
    assert list(phases) == [*expected, "close", "together"]
    parts = ("target", "sources", "steps", "finish")
    assert sum(phases[name][0] for name in parts) == pytest.approx(phases["build"][0], abs=0.05)
    assert phases["together"][1] == "100.0%"
    assert steps[0].startswith("the dearest of ")
    assert steps[1].split() == ["step", "ms", "share", "what", "#", "why"]
    assert len(steps) == 12
    assert all("  # " in line for line in steps[1:])
    costs = [float(line.split()[1]) for line in steps[2:]]
    assert costs == sorted(costs, reverse=True)


def test_timings_of_a_plan_have_no_steps(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_bundle(tmp_path / "b", runc_spec_like(), rootfs="empty")
    assert main(["plan", path, "--timings"]) == 0
    phases, steps = _table(capfd.readouterr().err)
    assert "print" in phases
    assert steps == []


@root
def test_timings_of_a_run_come_when_it_has_started(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_bundle(tmp_path / "b", runc_spec_like(process={"args": ["true"]}))
    assert main(["run", path, "--timings"]) == 0
    phases, steps = _table(capfd.readouterr().err)
    assert "launch" in phases
    assert "process" not in phases
    assert [line.split()[1] for line in steps[-2:]] == ["process:", "close:"]


@root
def test_a_failure_tells_how_far_it_came(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mounts = [{"destination": "/x", "type": "bind", "source": "/no/such", "options": ["bind"]}]
    path = write_bundle(tmp_path / "b", runc_spec_like(mounts=mounts))
    assert main(["run", path, "--timings"]) == 2
    err = capfd.readouterr().err
    assert err.startswith("devproxy: error: ")
    phases, _ = _table(err[err.index("phase ") :])
    assert list(phases)[-3:] == ["failed", "close", "together"]
