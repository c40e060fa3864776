"""Drivers, commands and listeners that hang or break, and what that costs a job."""

from __future__ import annotations

import time
from xml.etree import ElementTree as ET

import pytest

from devproxy.check.finding import Report
from devproxy.host.facts import Host
from devproxy.jobs.job import job as module
from devproxy.jobs.job.bounded import bounded
from devproxy.jobs.job.command import How
from devproxy.jobs.job.guard import Guard
from devproxy.jobs.job.interrupts import Interrupts
from devproxy.jobs.job.job import run_job
from devproxy.jobs.job.listener import Listener
from devproxy.jobs.job.look import Taken
from devproxy.jobs.job.look import take as really_take
from devproxy.jobs.job.result import Fault, Hardware
from tests.devproxy.jobs.job.place import NOBODY, Place, text_of

pytestmark = pytest.mark.programs


class TestWhatHangs:
    def test_a_driver_in_a_look_leaves_the_verdict_open_and_the_rest_is_done(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looked = []

        def take(source: str, interrupts: Interrupts) -> Taken:
            looked.append(source)
            if len(looked) > 2:  # for the lease, before, and then
                return bounded("looking at the host", lambda: time.sleep(600), 0.1, interrupts)  # type: ignore[return-value]
            return really_take(source, interrupts)

        monkeypatch.setattr(module, "take", take)
        result = place.run("sh", "-c", "exit 7")
        assert (result.verdict.code, result.verdict.fault) == (7, Fault.COMMAND)
        assert result.verdict.hardware is Hardware.UNKNOWN
        assert "did not answer within 0.1 s" in result.verdict.headline
        states = {phase.name: phase.state.value for phase in result.phases}
        assert states["check after"] == states["difference"] == "inconclusive"
        assert states["clean"] == states["release"] == "done"
        suite = ET.fromstring((place.folder / "junit.xml").read_bytes())[0]
        assert suite.attrib["skipped"] == "1"
        assert "did not answer" in text_of((place.folder / "report.html").read_text())
        assert place.leased() == 0

    def test_a_command_that_cannot_be_killed_is_left_to_its_guard(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As one that waits in the kernel for a driver: here the signals for it are lost."""
        monkeypatch.setattr("devproxy.jobs.job.command._DYING", 0.1)
        monkeypatch.setattr(Guard, "signal", lambda self, number: None)
        result = place.run("sleep", "600", timeout=0.1, grace=0.1)
        assert result.ended is not None
        assert result.ended.how is How.STUCK
        assert (result.verdict.hardware, result.verdict.code) == (Hardware.BAD, 137)
        assert "cannot be killed" in result.verdict.headline
        assert place.leased() == 0

    def test_one_that_the_guard_cannot_kill_either_makes_the_hardware_bad(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def finish(guard: Guard, seconds: float) -> bool:
            assert really(guard, 60)
            return False

        really = Guard.finish
        monkeypatch.setattr(Guard, "finish", finish)
        result = place.run("true")
        assert (result.verdict.code, result.verdict.hardware) == (3, Hardware.BAD)
        assert "could not be removed" in result.verdict.headline


def test_a_defect_in_a_check_costs_the_check_and_not_the_job(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(host: Host, *, before: Host | None, **more: object) -> Report:
        if before is not None:
            raise KeyError("no such board")
        return Report((), (("devices", 1),))

    monkeypatch.setattr(module, "check", check)
    result = place.run("sh", "-c", "exit 7")
    assert (result.verdict.code, result.verdict.fault) == (7, Fault.COMMAND)
    assert result.problems == ("check after: a defect of devproxy: KeyError: 'no such board'",)
    assert "clean" in [phase.name for phase in result.phases]
    assert place.run("true").verdict.code == 125
    assert place.leased() == 0


def test_a_listener_that_nobody_reads_does_not_end_a_job(place: Place) -> None:
    class Broken(Listener):
        def begins(self, phase: str) -> None:
            raise BrokenPipeError

    result = run_job(place.asked("sh", "-c", "exit 7"), Broken(), NOBODY)
    assert result.verdict.code == 7
    assert place.leased() == 0


def test_the_guard_has_the_lease_and_nothing_else_of_the_jobs(place: Place) -> None:
    """Whoever reads what devproxy writes must not wait for a process that cannot be killed."""
    fds = "ls -l /proc/$PPID/fd"
    # It lets go once the command runs, which may be quicker.
    script = f"for i in $(seq 1000); do {fds} | grep -qF '{place.folder}' || break; sleep 0.01; done; {fds}"
    place.run("sh", "-c", script)
    lines = (place.folder / "stdout.log").read_text().splitlines()
    links = [line.partition(" -> ")[2] for line in lines if " -> " in line]
    kept = [link for link in links if link.startswith(str(place.path))]
    assert len(kept) == 2, links  # the device's lock and the claim
    assert not [link for link in links if link.startswith(str(place.folder))]
    assert links.count("/dev/null") >= 3
