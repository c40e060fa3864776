"""`devproxy doctor`: what it says of machines and reports, and its exit codes."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

import devproxy
from devproxy.check.doctor.pages import PLACE
from devproxy.cli.main import main
from tests.unprivileged import as_user

ROOT = Path(__file__).parents[3]
EXAMPLE = str(ROOT / "example" / "host-8gpu.tar")
BROKEN = str(ROOT / "tests" / "hosts" / "tpu-without-driver.tar")
CPU_ONLY = str(ROOT / "tests" / "hosts" / "cpu-only.tar")

LISTING = """\
$ lspci -nnk -d 1ae0:
00:04.0 System peripheral [0880]: Google, Inc. Device [1ae0:0063]
	Subsystem: Google, Inc. Device [1ae0:00be]
$ ls -l /dev/vfio
crw-rw-rw- 1 root root 10, 196 May 18 11:29 vfio
"""


def doctor(*words: str) -> int:
    return main(["doctor", *words])


def test_a_broken_host_is_an_error_with_its_code_evidence_and_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor("--host", BROKEN, "--text") == 3
    told = capsys.readouterr().out
    assert "error driver-not-loaded: " in told
    assert "  read      /sys/devices/pci" in told
    assert "  do        modprobe vfio-pci" in told
    assert told.rstrip().splitlines()[-1].endswith("errors")


def test_json_has_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor("--host", BROKEN, "--json") == 3
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "error"
    first = document["findings"][0]
    assert first["code"] == "driver-not-loaded"
    assert first["evidence"][0]["source"].startswith("/sys/devices/pci")
    assert first["hint"]
    assert document["compared"]["checks"] >= 40


def test_a_host_without_accelerators_is_not_called_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor("--host", CPU_ONLY, "--text", "--skip", "nvml-error") in (0, 4)
    told = capsys.readouterr().out
    assert "healthy" not in told
    assert "no accelerator" in told or "inconclusive" in told


def test_files_for_ci(tmp_path: Path) -> None:
    junit, page = tmp_path / "r.xml", tmp_path / "r.html"
    assert doctor("--host", BROKEN, "--junit", str(junit), "--html", str(page)) == 3
    suite = ET.fromstring(junit.read_bytes())
    assert {case.get("classname") for case in suite.iter("testcase") if case.find("failure") is not None} == {
        "devproxy.doctor.driver-not-loaded"
    }
    assert "driver-not-loaded" in page.read_text()


def test_only_and_skip(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor("--host", BROKEN, "--text", "--only", "device-lost") == 0
    assert doctor("--host", BROKEN, "--text", "--only", "driver-not-loaded") == 3
    assert doctor("--host", BROKEN, "--text", "--only", "driver-not-loaded", "--skip", "driver-not-loaded") == 0
    assert doctor("--host", BROKEN, "--only", "driver-unloaded") == 2
    assert "did you mean driver-not-loaded" in capsys.readouterr().err


class TestReport:
    def test_a_report_is_judged_on_what_it_contains(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        report = tmp_path / "issue.txt"
        report.write_text(LISTING)
        assert doctor("--report", str(report), "--text") == 3
        told = capsys.readouterr().out
        assert "read 5 of 5 lines: " in told
        assert "inconclusive" not in told

    def test_it_is_read_from_a_pipe(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(LISTING.splitlines(keepends=True)[0].encode())))
        assert doctor("--report", "-", "--text") in (0, 3)
        assert capsys.readouterr().out.startswith("report from standard input\n")

    def test_a_recording_is_none(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Its parts would be read as prose: the whole of it is read by --host. Beside other files it is one of them."""
        packed = tmp_path / "host.tar.gz"
        packed.write_bytes(gzip.compress(Path(EXAMPLE).read_bytes()))
        for recording in (EXAMPLE, str(packed)):
            assert doctor("--report", recording) == 2
            told = capsys.readouterr()
            assert told.out == ""
            assert told.err.startswith(
                f"devproxy: error: {recording} is a recording, expected what somebody wrote or pasted\n"
            )
            assert told.err.endswith(f"hint: devproxy doctor --host {recording}\n")

    def test_prose_alone_is_no_error(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        report = tmp_path / "issue.txt"
        report.write_text("It does not work on my machine.\nPlease help!\n")
        assert doctor("--report", str(report), "--text") == 0
        told = capsys.readouterr().out
        assert "nothing that is known here" in told
        assert "shows nothing of the machine: ask for what nvidia-smi" in told

    def test_output_that_is_well_asks_for_nothing(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        report = tmp_path / "issue.txt"
        report.write_text(
            "$ lspci -nnk -d 1ae0:\n00:04.0 Unassigned class [ff00]: Google, Inc. Device [1ae0:0063]\n\tKernel driver in use: vfio-pci\n"
        )
        assert doctor("--report", str(report), "--text") == 0
        assert capsys.readouterr().out.endswith("no error found in what the report contains\n")

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (("--report", "/no/such/file"), "/no/such/file"),
            (("--report", EXAMPLE, "--host", EXAMPLE), "--report reads a host from a report"),
            (("--host", "/no/such.tar"), "/no/such.tar"),
            pytest.param(("/no/such/bundle",), "/no/such/bundle", marks=pytest.mark.programs),
        ],
    )
    def test_wrong_inputs(self, words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert doctor(*words) == 2
        assert told in capsys.readouterr().err


def test_a_code_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("device-lost", "sxid-since"):
        assert doctor("--explain", name) == 0
        assert capsys.readouterr().out == Path(PLACE, f"{name}.md").read_text()
    assert doctor("--list", "--text") == 0
    assert "device-lost" in capsys.readouterr().out


def test_codes_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("doctor", "check"):
        assert main([verb, "--list"]) == 0
        lines = capsys.readouterr().out.splitlines()[1:]
        assert main([verb, "--list", "--json"]) == 0
        listed = json.loads(capsys.readouterr().out)
        assert [line.split()[:2] for line in lines] == [[each["code"], each["severity"]] for each in listed]
        assert all(line.endswith(each["means"]) for line, each in zip(lines, listed, strict=True))
        assert main([verb, "--explain", "device-lost", "--json"]) == 0
        page = json.loads(capsys.readouterr().out)
        assert page == {"code": "device-lost", "page": Path(PLACE, "device-lost.md").read_text()}


@pytest.mark.parametrize(
    ("words", "near"),
    [
        ("unknown error", "cuda-unknown-error"),
        ("UVM_NOT", "uvm-not-loaded"),
        ("XID-SINCE", "sxid-since or xid-since"),
        ("node-mising", "node-missing"),
    ],
)
def test_a_code_is_found_by_its_words(words: str, near: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor("--explain", words) == 2
    assert f"did you mean {near}" in capsys.readouterr().err


def test_from_python() -> None:
    report = devproxy.doctor(devproxy.probe(BROKEN, deep=True))
    assert {finding.code for finding in report.errors} == {"driver-not-loaded"}


@pytest.mark.programs
def test_as_an_ordinary_user_on_this_machine() -> None:
    def look(_: Path) -> dict[str, Any]:
        import contextlib

        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = doctor("--text")
        return {"code": code, "out": out.getvalue()}

    found = as_user(look)
    assert found["code"] in (0, 3, 4)
    assert "Traceback" not in found["out"]
    assert "healthy" not in found["out"]
