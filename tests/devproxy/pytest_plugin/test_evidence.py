"""Evidence of a live host: another process gathers it, and one that hangs is waited for once."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devproxy.host.probe import probe
from devproxy.jobs.devices import Device, leasable
from devproxy.jobs.scope import Scope
from devproxy.pytest_plugin import evidence, options
from devproxy.pytest_plugin.leasing import Accelerators, Given, _is_ours
from devproxy.pytest_plugin.session import Session
from tests.devproxy.jobs.workers import child
from tests.devproxy.pytest_plugin.sessions import EIGHT


class Log:
    """What the kernel would have logged."""

    why = ""

    def lines(self) -> list[str]:
        return ["[    1.000000] NVRM: Xid (PCI:0000:18:00): 79, pid=1", "[    1.000001] bytes \udcff that are no UTF-8"]


@pytest.fixture
def report() -> Any:
    return SimpleNamespace(sections=[], user_properties=[])


@pytest.fixture
def given(pytestconfig: pytest.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a test of a live host would have been given; recordings go to a directory that is not there yet."""
    session = Session(pytestconfig)
    session.source = "live"
    monkeypatch.setenv("DEVPROXY_ARTIFACTS", str(tmp_path / "artifacts" / "of this job"))
    scope = Scope("ab" * 16, 0, 0.0, ())
    return Given(session, Accelerators(scope, {"DEVPROXY_LEASE": ""}, "live"), Log())  # type: ignore[arg-type]


@pytest.mark.programs
def test_a_recording_of_this_machine_is_left_and_named(tmp_path: Path, given: Any, report: Any) -> None:
    item = SimpleNamespace(nodeid="tests/test_x.py::test_y[a/../b c]", user_properties=[])
    evidence.attach(item, report, given)  # type: ignore[arg-type]
    told = dict(report.user_properties)
    path = Path(told["devproxy.recording"])
    assert path.parent == tmp_path / "artifacts" / "of this job"
    assert path.name == "tests_test_x.py_test_y_a_.._b_c-abababab.tar"
    assert probe(str(path), deep=True).kernel == probe().kernel
    assert [name for name, _ in report.sections] == [
        "devproxy lease", "devproxy findings", "devproxy recording", "devproxy kernel log",
    ]  # fmt: skip
    assert told["devproxy.kernel-log"].splitlines()[1] == "[    1.000001] bytes \\udcff that are no UTF-8"
    assert item.user_properties == report.user_properties
    evidence.attach(item, report, given)  # type: ignore[arg-type]
    assert len(report.sections) == 4  # once


@pytest.mark.programs
def test_a_driver_that_hangs_costs_a_session_its_deadline_once(
    given: Any, report: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No interpreter starts in so short a time."""
    monkeypatch.setattr(options, "evidence_timeout", lambda _: 0.001)
    item: Any = SimpleNamespace(nodeid="test_y", user_properties=[])
    evidence.attach(item, report, given)
    findings = dict(report.user_properties)["devproxy.findings"]
    assert findings == "not looked for: 'devproxy record' gave no answer in time (0.001 s): a driver may hang"
    monkeypatch.setattr(evidence, "listen", None)
    again: Any = SimpleNamespace(sections=[], user_properties=[])
    given.is_told = False
    evidence.attach(item, again, given)
    assert dict(again.user_properties)["devproxy.findings"] == f"{findings}; not tried again"


def test_a_defect_in_it_leaves_the_report_whole(given: Any, report: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> str:
        raise RuntimeError("a defect")

    monkeypatch.setattr(evidence, "_record", broken)
    item: Any = SimpleNamespace(nodeid="test_y", user_properties=[])
    evidence.attach(item, report, given)
    assert dict(report.sections)["devproxy findings"] == "not looked for: RuntimeError: a defect"


def test_what_is_looked_at_after_the_lease_says_so(given: Any, report: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "_record", lambda *_: evidence.Recorded("", "no place"))
    given.is_over = True
    item: Any = SimpleNamespace(nodeid="test_y", user_properties=[])
    evidence.attach(item, report, given)
    told = dict(report.sections)
    assert "given back before this was looked at" in told["devproxy lease"]
    assert told["devproxy kernel log"] == "not looked at: it was let go with the lease"


def test_workers_of_one_session_are_no_other_job() -> None:
    sibling = child(signal.pause)
    try:
        assert [_is_ours(None)(pid) for pid in (os.getpid(), sibling, 1)] == [True, False, False]
        assert [_is_ours(os.getpid())(pid) for pid in (os.getpid(), sibling, 1)] == [True, True, False]
    finally:
        os.kill(sibling, signal.SIGKILL)
        os.waitpid(sibling, 0)
    assert not _is_ours(os.getpid())(sibling)  # ended


def test_what_is_wrong_with_others_devices_is_left_out(given: Any) -> None:
    """Of eight GPUs one has lost its node: it is told to whom it was leased."""
    host = probe(EIGHT, deep=True)
    assert host.nvidia is not None
    lost, well = leasable(host)[3:5]
    broken = host._replace(nodes=tuple(node for node in host.nodes if node.path not in lost.nodes))

    def told(*devices: Device) -> list[str]:
        of_these = Scope("ab" * 16, 0, time.time(), devices)
        given.accelerators = given.accelerators._replace(scope=of_these)
        return [each.path for each in evidence._about(broken, given).errors]

    assert told(lost) == list(lost.nodes)
    assert told(well) == []
