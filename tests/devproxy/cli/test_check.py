"""`devproxy check`: its files, its exit codes, what it says to people and to programs."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import pytest

import devproxy
from devproxy.check.doctor.pages import PLACE
from devproxy.cli.main import main
from devproxy.errors import DevproxyError
from devproxy.host.recording_file import encode
from devproxy.jobs.devices import leasable
from devproxy.jobs.health import within
from devproxy.jobs.quarantine import entries
from devproxy.jobs.scope import Scope, scope_document
from tests.devproxy.check.doctor.edits import Edited
from tests.devproxy.jobs.health.mutations import ENTRY, HOLDER, SOUND, gone, later, listed, logged, told, xid
from tests.unprivileged import as_user

ROOT: Final = Path(__file__).parents[3]
EXAMPLE: Final = str(ROOT / "example" / "host-8gpu.tar")
CPU_ONLY: Final = str(ROOT / "tests" / "hosts" / "cpu-only.tar")


def check(*words: str) -> int:
    return main(["check", *words])


def saved(edited: Edited, path: Path) -> str:
    path.write_bytes(encode(edited.recording, recorded_at=1764550800))
    return str(path)


@pytest.fixture
def bad(tmp_path: Path) -> str:
    """The example's host an hour later: an Xid and a holder of GPU 0, ECC errors of GPU 5."""
    edited = told(5, ecc_uncorrected=2)(logged(xid(79))(later(Edited.of(EXAMPLE))))
    holds = listed("holders", "holders", HOLDER, paths=["/dev/nvidia0", "/dev/nvidia-uvm"])
    return saved(holds(edited), tmp_path / "bad.tar")


# exit codes


def test_a_healthy_host_is_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("--host", EXAMPLE, "--after", EXAMPLE, "--text") == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == f"host host-8gpu.tar (recorded), compared with {EXAMPLE}"
    assert out.splitlines()[-1] == "no error found in what could be seen"


def test_an_error_is_3_with_meaning_and_action(bad: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check("--host", bad, "--after", EXAMPLE, "--text") == 3
    out = capsys.readouterr().out
    assert "error xid-since: 0000:18:00.0" in out
    assert "  expected  no Xid since the recording of before" in out
    assert "fallen off the bus" in out
    assert "  do        power-cycle the machine" in out
    assert "error holder-left-behind: pid 4242" in out


def test_what_was_not_seen_is_4(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("--host", CPU_ONLY, "--text") == 4
    out = capsys.readouterr().out
    assert "no accelerator" in out
    assert "healthy" not in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--after", "/none.tar"], "cannot read the recording '/none.tar'"), (["--expect", "/none.toml"], "cannot read the expectations"),
        (["--lease", "/none"], "cannot read the lease"), (["--only", "xid-sinse"], "did you mean xid-since"),
        (["--skip", "shm-too-small"], "'shm-too-small' is no code that is looked for"), (["--explain", "x"], "is no code"),
        (["--deadline", "soon"], "'soon' is no time"), (["--deadline", "0"], "nothing can be seen in no time"),
        (["--since", "soon"], "'soon' is no moment"), (["--since", "2026-13-01"], "is no moment"),
        (["--before", "x.tar", "--host", EXAMPLE], "--before keeps the live host"), (["--before", "/"], "regular file"),
        (["--before", "a.tar", "--after", "b.tar"], "not allowed with argument"),
        (["--quarantine", "--host", EXAMPLE], "is a recording"), (["--host", "/none.tar"], "cannot read the recording"),
    ],
)  # fmt: skip
def test_bad_input_is_2_and_says_what(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    host = [] if "--host" in words or "--before" in words else ["--host", EXAMPLE]
    try:
        code = check(*words, *host)
    except SystemExit as ended:  # argparse's own
        code = int(str(ended.code))
    told = capsys.readouterr()
    assert code == 2
    assert message in told.err
    assert "Traceback" not in told.err
    assert told.out == ""


def test_wrong_expectations_are_2_with_line_and_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expect = tmp_path / "expected.toml"
    expect.write_text("[gpu]\ncount = 8\npcie_width = 16\n")
    assert check("--host", EXAMPLE, "--expect", str(expect)) == 2
    err = capsys.readouterr().err
    assert f"{expect}, line 3: there is no key 'pcie_width' in [gpu]" in err
    assert "did you mean 'pcie-width'?" in err


def test_a_recording_of_another_machine_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from devproxy.host.anonymize import anonymize

    other = saved(Edited(anonymize(Edited.of(EXAMPLE).recording).recording), tmp_path / "other.tar")
    assert check("--host", EXAMPLE, "--after", other) == 2
    assert "anonymized" in capsys.readouterr().err


# expectations


@pytest.mark.parametrize("name", SOUND)
def test_expectations_that_were_written_hold(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "expected.toml")
    assert check("--host", SOUND[name], "--write-expect", path) == 0
    assert check("--host", SOUND[name], "--expect", path, "--text") == 0
    capsys.readouterr()
    lost = Edited.of(SOUND[name])
    host = lost.host()
    unit = (
        (host.nvidia.gpus[0].address, f"/dev/nvidia{host.nvidia.gpus[0].minor}")
        if host.nvidia
        else (host.tpus[0].address, host.tpus[0].nodes[0])
    )
    assert check("--host", saved(gone(*unit)(lost), tmp_path / "lost.tar"), "--expect", path, "--text") == 3
    kind = "gpu" if host.nvidia else "tpu"
    assert f"error {kind}-count-unexpected: " in capsys.readouterr().out


def test_checks_are_switched_off_in_the_file(bad: str, tmp_path: Path) -> None:
    expect = tmp_path / "expected.toml"
    expect.write_text("[checks]\nxid-since = false\necc-uncorrected = false\nholder-left-behind = false\n")
    assert check("--host", bad, "--after", EXAMPLE, "--expect", str(expect)) == 0
    assert check("--host", bad, "--after", EXAMPLE, "--expect", str(expect), "--only", "xid-since") == 3


# leases


def lease(path: Path, *ranks: int) -> str:
    devices = tuple(each for each in leasable(devproxy.probe(EXAMPLE, deep=True)) if each.rank in ranks)
    path.write_text(scope_document(Scope("0" * 32, 1000, 1764547200.0, devices)))
    return str(path)


def test_findings_of_other_devices_are_not_this_leases(
    bad: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    note = lease(tmp_path / "note", 2, 3)
    assert check("--host", bad, "--after", EXAMPLE, "--lease", note, "--text") == 0
    out = capsys.readouterr().out
    assert "not this job's, of other devices: 0000:18:00.0 xid-since" in out
    assert check("--host", bad, "--after", EXAMPLE, "--lease", lease(tmp_path / "note", 0), "--json") == 3
    document = json.loads(capsys.readouterr().out)
    assert {finding["code"] for finding in document["findings"]} == {"xid-since", "holder-left-behind", "device-busy"}
    assert document["lease"] == "0" * 32


@pytest.mark.programs
def test_in_a_leases_command_its_devices_are_looked_at(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As 'devproxy lease' sets its environment: of a GPU that this machine has lost, or never had."""
    uuid = "GPU-00000000-1111-2222-3333-444444444444"
    monkeypatch.setenv("DEVPROXY_LEASE", uuid)
    monkeypatch.setenv("DEVPROXY_LEASE_ID", "0" * 32)
    assert check("--only", "device-lost-since", "--json") == 3
    document = json.loads(capsys.readouterr().out)
    assert [finding["path"] for finding in document["findings"]] == [uuid]
    assert document["lease"] == "0" * 32
    assert document["notes"] == [f"looked at for {uuid}"]


# quarantine by rule


def test_devices_are_kept_out_by_rule(bad: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(tmp_path / "quarantine")
    assert check("--host", bad, "--after", EXAMPLE, "--quarantine", "--place", place, "--text") == 3
    out = capsys.readouterr().out
    first, second = entries(place)
    assert {first.code, second.code} == {"xid-since", "ecc-uncorrected"}
    for entry in (first, second):
        assert f"quarantined {entry.name} until " in out
        assert f"devproxy quarantine lift {entry.name} --check" in out
    assert check("--host", EXAMPLE, "--after", EXAMPLE, "--quarantine", "--place", str(tmp_path / "none")) == 0
    assert not (tmp_path / "none").exists()


def test_a_quarantine_that_cannot_be_written_costs_no_report(
    bad: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, junit = tmp_path / "file", tmp_path / "r.xml"
    place.write_text("")
    words = ("--host", bad, "--after", EXAMPLE, "--quarantine", "--place", str(place), "--junit", str(junit))
    assert check(*words, "--text") == 1
    told = capsys.readouterr()
    assert "error xid-since" in told.out
    assert "quarantined GPU" not in told.out
    assert f"cannot write in {place}" in told.err
    assert junit.exists()


def test_what_was_not_seen_for_one_reason_is_printed_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mute = Edited.of(EXAMPLE).fact(
        "nvml", lambda document: document.update(state="timeout", gpus=[], device_count=None)
    )
    assert check("--host", EXAMPLE, "--after", saved(mute, tmp_path / "mute.tar"), "--text") == 4
    out = capsys.readouterr().out
    assert out.count("NVML did not answer before (timeout)") == 1
    (line,) = [
        line for line in out.splitlines() if line.startswith("inconclusive compute-mode-changed, mig-mode-changed, ")
    ]
    assert line.endswith("persistence-changed: NVML")


def test_names_of_files_move_no_cursor_and_break_no_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "/dev/shm/a'; rm -rf ~ #\x1b[31m\n$(id)"
    edited = listed("shared_memory", "entries", ENTRY, path=name)(later(Edited.of(EXAMPLE)))
    host = saved(edited, tmp_path / "named.tar")
    junit, html = str(tmp_path / "r.xml"), str(tmp_path / "r.html")
    assert check("--host", host, "--after", EXAMPLE, "--text", "--junit", junit, "--html", html) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    (hint,) = [line for line in out.splitlines() if "fuser" in line]
    assert "'/dev/shm/a'\"'\"'; rm -rf ~ #" in hint
    ET.parse(junit)


def test_only_root_keeps_devices_out() -> None:
    def child(_: Path) -> Any:
        err = io.StringIO()
        sys.stderr = err
        return check("--quarantine"), err.getvalue()

    code, said = as_user(child)
    assert code == 2
    assert "only root keeps devices out" in said


# artefacts


def test_reports_are_written_for_ci(bad: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    junit, html = tmp_path / "r.xml", tmp_path / "r.html"
    assert check("--host", bad, "--after", EXAMPLE, "--junit", str(junit), "--html", str(html), "--json") == 3
    suite = ET.parse(junit).getroot().find("testsuite")
    assert suite is not None
    failed = {case.get("classname") for case in suite.iter("testcase") if case.find("failure") is not None}
    assert failed == {"devproxy.check.xid-since", "devproxy.check.ecc-uncorrected", "devproxy.check.holder-left-behind"}
    passed = {case.get("name") for case in suite.iter("testcase") if case.find("failure") is None}
    assert {"clocks-changed", "device-lost-since", "nvlink-down"} <= passed
    page = html.read_text()
    assert "xid-since" in page
    assert "fallen off the bus" in page
    document = json.loads(capsys.readouterr().out)
    assert (document["verdict"], document["before"], document["quarantined"]) == ("error", EXAMPLE, [])


def test_codes_are_listed_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("--list") == 0
    out = capsys.readouterr().out
    assert "holder-left-behind" in out
    assert "xid-since" in out
    assert check("--explain", "rebooted-since") == 0
    assert main(["doctor", "--explain", "rebooted-since"]) == 0
    assert capsys.readouterr().out == 2 * Path(PLACE, "rebooted-since.md").read_text()
    assert main(["doctor", "--only", "rebooted-since"]) == 2  # the doctor never looks for it


# this machine


@pytest.mark.programs
def test_before_and_after_on_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = str(tmp_path / "before.tar")
    assert check("--before", before, "--text") in (0, 3, 4)
    assert f"devproxy check --after {before}" in capsys.readouterr().err
    assert devproxy.probe(before, deep=True).details is not None
    assert check("--after", before, "--only", "rebooted-since", "--only", "device-lost-since", "--text") == 0


@pytest.mark.programs
def test_a_file_in_shared_memory_is_found_and_a_process_that_uses_it_spares_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not os.path.ismount("/dev/shm"):
        pytest.skip("/dev/shm is no mount here")
    before, path = str(tmp_path / "before.tar"), f"/dev/shm/devproxy-test-{os.getpid()}"
    check("--before", before, "--json")
    capsys.readouterr()

    def found() -> list[str]:
        assert check("--after", before, "--only", "shm-left-behind", "--json") == 0
        document = json.loads(capsys.readouterr().out)
        return [finding["path"] for finding in document["findings"] if finding["path"] == path]

    assert found() == []
    with open(path, "x+b") as file:
        try:
            file.write(b"x" * 4096)
            file.flush()
            assert found() == []  # this process has it
            file.close()
            assert found() == [path]
        finally:
            os.unlink(path)


def test_as_an_ordinary_user_nothing_is_called_healthy_that_was_not_seen() -> None:
    def child(directory: Path) -> Any:
        out = io.StringIO()
        sys.stdout = out
        return check("--before", str(directory / "b.tar"), "--json"), json.loads(out.getvalue())["verdict"]

    code, verdict = as_user(child)
    assert (code, verdict) == (4, "inconclusive") or (code, verdict) == (3, "error")


# deadlines


def test_a_host_that_hangs_is_inconclusive(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def hang(*_: object, **__: object) -> None:
        time.sleep(600)

    monkeypatch.setattr(within, "recorder_of", hang)
    before = tmp_path / "b.tar"
    assert check("--deadline", "1s", "--before", str(before), "--text") == 4
    out = capsys.readouterr().out
    assert "inconclusive check-timeout" in out
    assert "within 1 s" in out
    assert not before.exists()


def test_a_probe_that_dies_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object, **__: object) -> None:
        os._exit(3)

    monkeypatch.setattr(within, "recorder_of", die)
    with pytest.raises(DevproxyError, match="ended before it was done"):
        within.recorded_within(20.0)


@pytest.mark.programs
def test_what_was_probed_in_time_is_what_is_probed_without_a_deadline() -> None:
    first, _ = within.recorded_within(None)
    second, archive = within.recorded_within(60.0)
    assert (first.nodes, first.pci, first.kernel) == (second.nodes, second.pci, second.kernel)
    assert not second.simulated
    assert archive
