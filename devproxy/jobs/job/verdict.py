"""Whose fault it is: the command's, the hardware's, devproxy's own; and the exit code.

    the command                 the hardware   code
    succeeded                   fine           0
    succeeded                   unknown        0, with a warning: nothing is known to be wrong
    succeeded                   bad            3
    failed                      fine, unknown  its own; 128+n when signal n ended it; 124 when --timeout did
    failed                      bad            its own, and all that is written says that it is the hardware
    not started                 bad            3
    could not be executed                      126, 127
    devproxy was interrupted                   128 and the signal's number
    devproxy failed             fine           125, if the command succeeded or was not started

`--verdict hardware` makes it 0, 3 or 4 whatever the command says; `--verdict command` leaves the hardware out.
"""

from __future__ import annotations

import errno
from signal import SIGKILL

from devproxy.check.finding import Finding, Severity
from devproxy.jobs.job.asked import Decides
from devproxy.jobs.job.command import Ended, How
from devproxy.jobs.job.result import Fault, Hardware, Left, Look, Verdict
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from devproxy.jobs.devices import Device

BAD: Final = 3
UNKNOWN: Final = 4
TIMED_OUT: Final = 124
FAILED: Final = 125
_TOLD: Final = 3
# What a command may leave behind on hardware that is as good as before.
LEFT: Final = frozenset(
    (
        "holder-left-behind", "shm-left-behind", "mps-left-behind", "memory-in-use-while-idle", "device-busy", "tpu-lockfile-stale",
        "compute-mode-changed", "mig-mode-changed", "mig-instances-changed", "ecc-mode-changed", "clocks-changed", "power-limit-changed",
        "persistence-changed",
    )
)  # fmt: skip


class Known(Record):
    """What a verdict is made of. `interrupted` is the signal that devproxy got, 0 for none; `problems` are devproxy's own."""

    devices: tuple[Device, ...]
    before: Look | None
    ended: Ended | None
    after: Look | None
    cleaned: Look | None
    left: tuple[Left, ...]
    interrupted: int
    problems: tuple[str, ...]
    decides: Decides


def judge(known: Known) -> Verdict:
    """The verdict."""
    blamed = to_blame(known)
    hardware = _hardware(known, blamed)
    devices = tuple(dict.fromkeys(name for each in blamed if (name := device_of(each, known.devices))))
    fault = _fault(known, hardware)
    return Verdict(fault, hardware, devices, _headline(known, hardware, blamed), _code(known, hardware))


def to_blame(known: Known) -> tuple[Finding, ...]:
    """The errors of the hardware: after the command, and once more after cleaning; before it, where nobody looked later."""
    first = errors_of(known.after or known.before)
    seen = {(each.code, each.path) for each in first}
    return first + tuple(each for each in errors_of(known.cleaned) if (each.code, each.path) not in seen)


def errors_of(look: Look | None) -> tuple[Finding, ...]:
    """The errors that are the hardware's, and not what a command left behind; none where nobody looked."""
    return tuple(each for each in look.report.errors if each.code not in LEFT) if look is not None else ()


def unseen_of(look: Look) -> tuple[Finding, ...]:
    """What could not be seen of the hardware itself."""
    return tuple(
        each
        for each in look.report.findings
        if each.severity is Severity.INCONCLUSIVE and each.code not in LEFT and each.code != "holders-unknown"
    )


def device_of(finding: Finding, devices: Iterable[Device]) -> str:
    """The name of the device that a finding is about; empty for none of these."""
    for device in devices:
        if finding.path in (device.name, device.address, *device.nodes):
            return device.name
    return ""


def _hardware(known: Known, blamed: tuple[Finding, ...]) -> Hardware:
    stays = any(each.stays for each in known.left)
    if blamed or stays or (known.ended is not None and known.ended.how is How.STUCK):
        return Hardware.BAD
    look = known.after or known.before
    return Hardware.UNKNOWN if look is None or unseen_of(look) else Hardware.FINE


def _fault(known: Known, hardware: Hardware) -> Fault:
    if hardware is Hardware.BAD:
        return Fault.HARDWARE
    if known.interrupted:
        return Fault.CALLER
    if known.ended is None or known.ended.how is How.LOST:
        return Fault.DEVPROXY if known.problems else Fault.UNKNOWN
    if not known.ended.ok:
        return Fault.COMMAND
    return Fault.DEVPROXY if known.problems else Fault.NOBODY


def _headline(known: Known, hardware: Hardware, blamed: tuple[Finding, ...]) -> str:
    ended = known.ended
    command = "the command was not started" if ended is None else f"the command {_told(ended)}"
    if hardware is Hardware.BAD:
        why = _why(known, blamed)
        if ended is None:
            return f"hardware bad before the command ran: {why}; it was not started"
        if ended.ok:
            return f"hardware bad although {command}: {why}"
        innocent = "" if errors_of(known.before) else ": not its fault"
        return f"hardware bad: {why}; {command}{innocent}"
    state = "hardware fine" if hardware is Hardware.FINE else f"hardware unknown: {_unseen(known)}"
    own = f"; devproxy failed: {known.problems[0]}" if known.problems else ""
    command += _memory(known)
    if known.interrupted and ended is None:
        return f"interrupted before the command ran, {state}{own}"
    return f"{command}, {state}{own}"


def _memory(known: Known) -> str:
    """Whether the kernel ran out of memory, where a SIGKILL came from nobody here."""
    killed = known.ended is not None and known.ended.how is How.KILLED and known.ended.signal == SIGKILL
    if not killed or known.interrupted or known.after is None:
        return ""
    lacked = any(finding.code == "oom-since" for finding in known.after.report.findings)
    return " (the kernel ran out of memory and ended a process)" if lacked else ""


def _told(ended: Ended) -> str:
    if ended.how is How.EXITED and ended.code:
        return f"failed ({ended.describe()})"
    was = "was " if ended.how in (How.KILLED, How.TIMED_OUT, How.LOST) else ""
    return f"{was}{ended.describe()}"


def _why(known: Known, blamed: tuple[Finding, ...]) -> str:
    if blamed:
        mine = [each for each in blamed if named(each, known.devices) == named(blamed[0], known.devices)]
        told = ", ".join(f"{each.found} [{each.code}]" for each in mine[:_TOLD])
        more = f"; and {len(blamed) - len(mine[:_TOLD])} more" if len(blamed) > len(mine[:_TOLD]) else ""
        return f"{named(blamed[0], known.devices)}: {told}{more}"
    stays = [each.what for each in known.left if each.stays]
    return f"{stays[0]} was left behind and could not be removed" if stays else "the command cannot be killed"


def named(finding: Finding, devices: Iterable[Device]) -> str:
    """`gpu 3 (GPU-…)`: what a finding is about, for people."""
    name = device_of(finding, devices)
    for device in devices:
        if device.name == name:
            return f"{device.kind.value} {device.rank} ({device.name})"
    return finding.path or finding.code


def _unseen(known: Known) -> str:
    look = known.after or known.before
    if look is None:
        return "nobody looked"
    unseen = unseen_of(look)
    return f"{unseen[0].path}: {unseen[0].why or unseen[0].found}" if unseen else "not everything could be seen"


def _code(known: Known, hardware: Hardware) -> int:
    if known.interrupted:
        return 128 + known.interrupted
    if known.decides is Decides.HARDWARE:
        return {Hardware.FINE: 0, Hardware.BAD: BAD, Hardware.UNKNOWN: UNKNOWN}[hardware]
    own = _code_of(known.ended)
    if own is None:
        return BAD if hardware is Hardware.BAD else FAILED
    if own:
        return own
    if hardware is Hardware.BAD and known.decides is Decides.BOTH:
        return BAD
    return FAILED if known.problems else 0


def _code_of(ended: Ended | None) -> int | None:
    """The command's own code; None where it has none."""
    if ended is None:
        return None
    match ended.how:
        case How.EXITED:
            return ended.code
        case How.KILLED:
            return 128 + ended.signal
        case How.TIMED_OUT:
            return TIMED_OUT
        case How.NOT_STARTED:
            return 127 if ended.errno in (errno.ENOENT, errno.ENOTDIR) else 126
        case How.STUCK | How.LOST:
            return 137
