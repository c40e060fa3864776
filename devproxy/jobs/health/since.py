"""What happened since a job began, as the kernel's log tells it, and whether the machine is still in the same boot.

Lines are told apart by the numbers that the kernel gives its records, from the one that the recording of before had read to: no
clock is needed. Where that is not known the log's own times have to do. They count from the boot, without suspends, by a clock that
nobody sets right: a margin is left, and what is in doubt is told.
"""

from __future__ import annotations

from devproxy.check.doctor import messages
from devproxy.check.doctor.case import seen, unknown
from devproxy.check.doctor.sxids import concerns_fabric
from devproxy.check.finding import Finding, Severity
from devproxy.jobs.health.case import JobCase, is_of, units
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Final

    from devproxy.check.doctor.case import Case
    from devproxy.host.system_facts import LogEvent

_MARGIN: Final = 5.0
_SHOWN: Final = 3
# What DCGM's health watch fails a GPU for, and its code (DcgmHealthWatch).
DCGM_FAILS: Final = {
    79: "DCGM_FR_FALLEN_OFF_BUS",
    95: "DCGM_FR_UNCONTAINED_ERROR",
    **dict.fromkeys((48, 74, 94, 119, 120, 140), "DCGM_FR_XID_ERROR"),
}


class Lines(Record):
    """The events of the log since the job began (or all of them), and why some may be missing: empty if none is."""

    events: tuple[LogEvent, ...]
    missing: str = ""


def lines_since(case: JobCase) -> Lines:
    """The events that count."""
    log = case.now.system.log or ()
    if case.before is None:
        start = None if case.since is None else _seconds_at(case, case.since)
        return _from(case, log, lambda event: _is_after(event, start))
    if is_rebooted(case):
        return Lines(log, "the log of the boot before is gone with it; 'journalctl -k -b -1' may have it")
    span, now = case.then.system.log_span, case.now.system.log_span
    if span is not None and now is not None and now.following < span.following:
        return Lines(log, "the log is another one than that of before: its records have lower numbers")
    if span is not None and span.complete:
        return _from(
            case, log, lambda event: event.sequence is None or event.sequence >= span.following, span.following
        )
    clock = case.then.system.clock
    start = clock.monotonic - _MARGIN if clock is not None else None
    return _from(case, log, lambda event: _is_after(event, start))


def _from(
    case: JobCase, log: tuple[LogEvent, ...], counts: Callable[[LogEvent], bool], start: int | None = None
) -> Lines:
    events = tuple(event for event in log if counts(event))
    span = case.now.system.log_span
    if span is None:
        return Lines(events)
    if not span.complete:
        return Lines(events, "the log was not read to its end in time")
    if start is not None and span.first > start:
        return Lines(events, f"{span.first - start} records since then were overwritten; log_buf_len=16M keeps more")
    if span.left_out and len(events) == len(log):
        return Lines(events, f"{span.left_out} older lines were left out")
    return Lines(events)


def _seconds_at(case: JobCase, moment: float) -> float | None:
    """A moment (seconds since the epoch) as the log counts; None where the facts do not say when they were gathered."""
    clock = case.now.system.clock
    return None if clock is None else clock.monotonic - (clock.realtime - moment) - _MARGIN


def _is_after(event: LogEvent, start: float | None) -> bool:
    return start is None or event.seconds is None or event.seconds >= start


def is_rebooted(case: JobCase) -> bool:
    """Whether before was in another boot, as far as that is known."""
    then, now = case.then.system.clock, case.now.system.clock
    return then is not None and now is not None and bool(then.boot and now.boot) and then.boot != now.boot


def rebooted_since(case: JobCase) -> Iterator[Finding]:
    """The machine was started anew: processes, System V memory and the log of before are gone."""
    then, now = case.then.system.clock, case.now.system.clock
    if then is None or now is None or not is_rebooted(case):
        return
    yield Finding(
        "rebooted-since", Severity.WARNING, "/proc/sys/kernel/random/boot_id", "the boot of before", "another boot",
        why=f"the machine was started {_ago(now.boottime)} ago, after the recording of before",
        hint="last -x reboot; journalctl -k -b -1 -e has what the boot before said last",
        evidence=(seen("before", f"boot {then.boot}, up {_ago(then.boottime)}"), seen(now.source, f"boot {now.boot}")),
    )  # fmt: skip


def _ago(seconds: float) -> str:
    minutes = int(seconds) // 60
    return (
        f"{minutes // 60} h {minutes % 60} min"
        if minutes >= 60
        else f"{minutes} min"
        if minutes
        else f"{seconds:.0f} s"
    )


def xid_since(case: JobCase) -> Iterator[Finding]:
    """Xids since the job began, one finding for each number and GPU, with meaning and action."""
    yield from _told(case, "xid-since", messages.xid_since, "no Xid")


def sxid_since(case: JobCase) -> Iterator[Finding]:
    """SXids since the job began, one finding for each number and NVSwitch. Which GPU a link leads to is not known here: what
    concerns one link fails a job only if it had every device. Its GPU's own Xid 74 fails the job that had it.
    """
    partial = case.devices is not None and not all(is_of(unit, case.devices) for unit in units(case.host))
    for finding in _told(case, "sxid-since", messages.sxid_since, "no SXid"):
        number = finding.reference.rpartition(" ")[2]
        one_link = number.isdigit() and not concerns_fabric(int(number))
        if partial and one_link and finding.severity is Severity.ERROR:
            yield finding._replace(severity=Severity.WARNING, why=f"{finding.why}. It may be another job's GPU")
        else:
            yield finding


def gpu_init_failed(case: JobCase) -> Iterator[Finding]:
    """A GPU that the driver could not start since the job began."""
    yield from _told(case, "gpu-init-failed", messages.gpu_init_failed, "a GPU that the driver could start")


def _told(case: JobCase, code: str, look: Callable[[Case], Iterable[Finding]], expected: str) -> Iterator[Finding]:
    nvidia = case.host.nvidia
    concerned = nvidia is not None and bool(nvidia.switches if code == "sxid-since" else nvidia.gpus)
    if case.now.system.log is None:
        if concerned:
            yield unknown(code, "/dev/kmsg", "the kernel's log could not be read: run as root, or with CAP_SYSLOG")
        return
    lines = lines_since(case)
    system = case.now.system._replace(log=lines.events)
    doctors = case.doctors
    narrowed = doctors._replace(host=case.host._replace(details=case.now._replace(system=system)))
    since = " since the recording of before" if case.before is not None else "" if case.since is None else " since then"
    for finding in look(narrowed):
        number = finding.reference.removeprefix("Xid ")
        dcgm = DCGM_FAILS.get(int(number)) if number.isdigit() else None
        reference = f"{dcgm}, {finding.reference}" if dcgm else finding.reference
        yield finding._replace(expected=f"{expected}{since}", reference=reference)
    if concerned and lines.missing:
        yield unknown(code, "/dev/kmsg", lines.missing)


def oom_since(case: JobCase) -> Iterator[Finding]:
    """The kernel ended a process for lack of memory since the job began. What it did before is nobody's business here."""
    if case.before is None and case.since is None:
        return
    killed = [event for event in lines_since(case).events if event.kind == "oom" and "Killed process" in event.text]
    if killed:
        yield Finding(
            "oom-since", Severity.WARNING, "/dev/kmsg", "memory to suffice", f"{len(killed)} processes killed" if len(killed) > 1 else "a process killed",
            why="the machine or a control group ran out of memory, and the kernel chose a process",
            hint="journalctl -k -g 'Out of memory|oom-kill' has who and how much; raise the job's limit, or make it smaller",
            evidence=tuple(seen(event.source, event.text) for event in killed[-_SHOWN:]),
        )  # fmt: skip
