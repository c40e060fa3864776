"""Whose fault, and which code: every end of a command with every state of the hardware."""

from __future__ import annotations

import errno
import signal

import pytest

from devproxy.check.finding import Finding, Report, Severity
from devproxy.jobs.devices import Device, Kind
from devproxy.jobs.job.asked import Decides
from devproxy.jobs.job.command import Ended, How
from devproxy.jobs.job.result import Fault, Hardware, Left, Look
from devproxy.jobs.job.verdict import Known, judge
from tests.devproxy.jobs.job.hosts import FIRST, FIRST_NAME

GPU = Device(Kind.GPU, FIRST_NAME, 0, FIRST, "H100", 0, 80 << 30, ("/dev/nvidia0",))


def look(*findings: Finding) -> Look:
    return Look(None, Report(findings, (("checks", 1),)))


def finding(code: str, severity: Severity = Severity.ERROR, path: str = FIRST) -> Finding:
    return Finding(code, severity, path, "well", f"{code} found")


GOOD, BAD = look(), look(finding("ecc-uncorrected"))
BLIND = look(finding("xid-since", Severity.INCONCLUSIVE, "/dev/kmsg"))
LOOKS = {Hardware.FINE: GOOD, Hardware.BAD: BAD, Hardware.UNKNOWN: BLIND}
ENDS = {
    "succeeded": (Ended(How.EXITED, 0, 1, code=0), 0),
    "failed": (Ended(How.EXITED, 0, 1, code=7), 7),
    "failed with 3": (Ended(How.EXITED, 0, 1, code=3), 3),
    "crashed": (Ended(How.KILLED, 0, 1, signal=signal.SIGSEGV), 139),
    "timed out": (Ended(How.TIMED_OUT, 0, 1), 124),
    "not found": (Ended(How.NOT_STARTED, 0, 0, errno=errno.ENOENT), 127),
    "not executable": (Ended(How.NOT_STARTED, 0, 0, errno=errno.EACCES), 126),
}


def known(ended: Ended | None, after: Look | None, **more: object) -> Known:
    whole = Known((GPU,), GOOD, ended, after, None, (), 0, (), Decides.BOTH)
    return whole._replace(**more)  # type: ignore[arg-type]


@pytest.mark.parametrize("hardware", LOOKS, ids=lambda each: each.value)
@pytest.mark.parametrize("end", ENDS)
def test_the_matrix(end: str, hardware: Hardware) -> None:
    ended, own = ENDS[end]
    verdict = judge(known(ended, LOOKS[hardware]))
    assert verdict.hardware is hardware
    assert verdict.code == own or (own == 0 and hardware is Hardware.BAD and verdict.code == 3)
    if hardware is Hardware.BAD:
        assert (verdict.fault, verdict.devices) == (Fault.HARDWARE, (FIRST_NAME,))
        assert f"gpu 0 ({FIRST_NAME}): ecc-uncorrected found [ecc-uncorrected]" in verdict.headline
        assert verdict.headline.endswith("not its fault") == (own != 0)
    else:
        assert (verdict.fault, verdict.devices) == (Fault.COMMAND if own else Fault.NOBODY, ())
        assert f"hardware {hardware.value}" in verdict.headline
    judged = {Hardware.FINE: 0, Hardware.BAD: 3, Hardware.UNKNOWN: 4}
    assert judge(known(ended, LOOKS[hardware], decides=Decides.HARDWARE)).code == judged[hardware]
    assert judge(known(ended, LOOKS[hardware], decides=Decides.COMMAND)).code == own


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("end", [*ENDS, None])
def test_an_interrupt_is_its_own_code(end: str | None, number: int) -> None:
    ended = ENDS[end][0] if end else None
    verdict = judge(known(ended, GOOD, interrupted=number))
    assert (verdict.code, verdict.fault) == (128 + number, Fault.CALLER)


def test_bad_before_nothing_is_started() -> None:
    verdict = judge(known(None, None, before=BAD))
    assert (verdict.code, verdict.fault, verdict.devices) == (3, Fault.HARDWARE, (FIRST_NAME,))
    assert verdict.headline.startswith("hardware bad before the command ran: gpu 0")


def test_a_command_that_ran_on_bad_hardware_is_not_called_innocent() -> None:
    """`--anyway`: nobody knows whether it would have failed on a good device."""
    verdict = judge(known(ENDS["failed"][0], BAD, before=BAD))
    assert "not its fault" not in verdict.headline
    assert verdict.fault is Fault.HARDWARE


@pytest.mark.parametrize("code", ["holder-left-behind", "clocks-changed", "mig-mode-changed", "tpu-lockfile-stale"])
def test_what_was_left_behind_is_not_the_hardwares(code: str) -> None:
    assert judge(known(ENDS["succeeded"][0], look(finding(code)))).fault is Fault.NOBODY


@pytest.mark.parametrize(
    ("left", "code"),
    [(Left("a", "removed", True, True), 0), (Left("a", "busy", False, True), 3), (Left("a", "another's", False, False), 0)],
)  # fmt: skip
def test_only_what_is_the_commands_and_stays_makes_a_job_red(left: Left, code: int) -> None:
    assert judge(known(ENDS["succeeded"][0], GOOD, left=(left,))).code == code


def test_what_breaks_while_cleaning_counts() -> None:
    verdict = judge(known(ENDS["succeeded"][0], GOOD, cleaned=BAD))
    assert (verdict.code, verdict.devices) == (3, (FIRST_NAME,))


def test_devproxys_own_failure_is_neither_the_commands_nor_the_hardwares() -> None:
    verdict = judge(known(ENDS["succeeded"][0], GOOD, problems=("the disk is full",)))
    assert (verdict.code, verdict.fault) == (125, Fault.DEVPROXY)
    assert verdict.headline.endswith("devproxy failed: the disk is full")
    assert judge(known(ENDS["failed"][0], GOOD, problems=("the disk is full",))).code == 7


def test_a_killed_command_is_told_of_the_lack_of_memory() -> None:
    killed = Ended(How.KILLED, 0, 1, signal=signal.SIGKILL)
    after = look(finding("oom-since", Severity.WARNING, "/dev/kmsg"))
    assert "ran out of memory" in judge(known(killed, after)).headline
    assert "ran out of memory" not in judge(known(killed, GOOD)).headline
    assert "ran out of memory" not in judge(known(ENDS["crashed"][0], after)).headline
