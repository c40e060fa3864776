"""Reports as JUnit's XML: every parser reads it, every finding is in it once, and its numbers are right."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devproxy.check.finding import Evidence, Finding, Report, Severity
from devproxy.check.report_junit import junit_document
from devproxy.cli.junit import write_junit
from devproxy.cli.main import main
from devproxy.errors import InputError
from tests.bundles import runc_spec_like, write_bundle

TEXTS = st.text(max_size=20)
FINDINGS = st.builds(
    Finding, code=st.sampled_from(["node-missing", "device-busy"]), severity=st.sampled_from(list(Severity)), path=TEXTS,
    expected=TEXTS, found=TEXTS, why=TEXTS, hint=TEXTS, evidence=st.tuples(st.builds(Evidence, TEXTS, TEXTS)),
    reference=TEXTS,
)  # fmt: skip
REPORTS = st.builds(
    Report,
    st.lists(FINDINGS, max_size=5).map(tuple),
    st.lists(st.tuples(TEXTS, st.integers(0, 9)), max_size=3).map(tuple),
    st.lists(TEXTS, max_size=2).map(tuple),
)

# junit-10.xsd of Jenkins' xunit plugin: what may be in what, which attributes it must and may have.
SCHEMA: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": ({"testsuite"}, set(), {"name", "time", "tests", "failures", "disabled", "errors"}),
    "testsuite": (
        {"properties", "testcase", "system-out", "system-err"},
        {"name"},
        {"tests", "failures", "errors", "group", "time", "skipped", "timestamp", "hostname", "id", "package", "file"},
    ),
    "testcase": (
        {"skipped", "error", "failure", "system-out", "system-err"},
        {"name", "classname"},
        {"time", "group", "file", "line"},
    ),
    "failure": (set(), set(), {"type", "message"}),
    "error": (set(), set(), {"type", "message"}),
    "skipped": (set(), set(), {"type", "message"}),
    "system-out": (set(), set(), set()),
    "system-err": (set(), set(), set()),
}


def check_schema(element: ET.Element) -> None:
    children, needed, allowed = SCHEMA[element.tag]
    assert needed <= element.attrib.keys() <= needed | allowed
    assert {child.tag for child in element} <= children
    if children:
        assert not (element.text or "").strip()
    for child in element:
        check_schema(child)


@pytest.mark.property
@given(REPORTS, st.lists(st.sampled_from(["node-missing", "other-check"]), max_size=3))
@example(Report((Finding("c", Severity.ERROR, "\x00\x1b[2J\ud800\uffff]]>", "<&\"'>", "\r\n\t"),), ()), [])
def test_every_finding_is_there_and_the_numbers_are_right(report: Report, checks: list[str]) -> None:
    data = junit_document("verify", report, host="h<1>", checks=checks)
    root = ET.fromstring(data)
    check_schema(root)
    (suite,) = root
    assert suite.attrib["hostname"] == "h<1>"
    cases = list(suite.iter("testcase"))
    assert int(suite.attrib["tests"]) == len(cases) == int(root.attrib["tests"])
    kinds = {"failure": "failures", "error": "errors", "skipped": "skipped"}
    for tag, name in kinds.items():
        assert len(list(suite.iter(tag))) == int(suite.attrib[name])
    passed = {code for code in checks if code not in {finding.code for finding in report.findings}}
    assert len(cases) == len(report.findings) + len(passed) + max(len(report.compared), 1)
    bad = any(case.find("failure") is not None or case.find("error") is not None for case in cases)
    assert bad == bool(report.errors or not report.compared)
    assert b"\x1b" not in data


def test_what_a_failure_says() -> None:
    evidence = (Evidence("/proc/devices", "509 nvidia-uvm"),)
    finding = Finding(
        "node-number-wrong",
        Severity.ERROR,
        "/dev/nvidia-uvm",
        "509:0",
        "510:0",
        "mode docker",
        "devproxy run",
        evidence,
    )
    (failure,) = ET.fromstring(junit_document("verify", Report((finding,), (("nodes", 1),)))).iter("failure")
    assert failure.attrib == {"message": "510:0, expected 509:0", "type": "node-number-wrong"}
    assert failure.text == (
        "/dev/nvidia-uvm: 510:0, expected 509:0 [node-number-wrong]\nwhy: mode docker\n"
        "read: /proc/devices: 509 nvidia-uvm\nhint: devproxy run"
    )


def test_a_check_that_found_nothing_passed() -> None:
    finding = Finding("b", Severity.WARNING, "/dev", "x", "y")
    root = ET.fromstring(junit_document("doctor", Report((finding,), (("checks", 3),)), checks=["a", "b", "c"]))
    found = [(case.attrib["classname"], case.attrib["name"]) for case in root.iter("testcase")]
    assert found == [
        ("devproxy.doctor.b", "/dev"), ("devproxy.doctor.a", "a"), ("devproxy.doctor.c", "c"),
        ("devproxy.doctor.compared", "checks"),
    ]  # fmt: skip


def test_it_is_written_whole_and_never_over_something_else(tmp_path: Path) -> None:
    report = Report((), (("nodes", 1),))
    write_junit(str(tmp_path / "r.xml"), "verify", report)
    write_junit(str(tmp_path / "r.xml"), "verify", report)
    assert os.listdir(tmp_path) == ["r.xml"]
    with pytest.raises(InputError, match="expected a regular file"):
        write_junit(str(tmp_path), "verify", report)


@pytest.mark.root
def test_verify_writes_it(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", runc_spec_like(process={"args": ["true"]}))
    assert main(["verify", bundle, "--junit", str(tmp_path / "r.xml")]) == 0
    root = ET.parse(tmp_path / "r.xml").getroot()
    assert root.attrib["failures"] == "0"
    assert int(root.attrib["tests"]) >= 3
