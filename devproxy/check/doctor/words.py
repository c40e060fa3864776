"""A doctor's report in words: findings that say the same of several devices are told once, and the last line never says
more than was seen.
"""

from __future__ import annotations

from devproxy.check.finding import Finding, Report, Severity
from devproxy.host.nvml_facts import NvmlState
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from devproxy.host.facts import Host

_SUBJECTS: Final = 8
# What tells most faults apart, for whoever asks the reporter.
_ADD: Final = "ask for what nvidia-smi, 'ls -l /dev/nvidia*', 'cat /proc/devices', lsmod and 'dmesg | grep -iE \"nvrm|xid\"' print"


class Told(Record):
    """Findings of one code that say the same: the first of them, and the subjects of all."""

    finding: Finding
    subjects: tuple[str, ...]

    @property
    def subject(self) -> str:
        """`/dev/nvidia0, /dev/nvidia1 and 6 more`."""
        shown = ", ".join(self.subjects[:_SUBJECTS])
        more = len(self.subjects) - _SUBJECTS
        return f"{shown} and {more} more" if more > 0 else shown


def together(findings: Iterable[Finding]) -> tuple[Told, ...]:
    """The findings, those of one code that share severity, reason and remedy as one; in the order of their first."""
    groups: dict[tuple[object, ...], list[Finding]] = {}
    for finding in findings:
        key = (finding.code, finding.severity, finding.why, _without(finding.hint, finding.path))
        groups.setdefault(key, []).append(finding)
    return tuple(Told(group[0], tuple(dict.fromkeys(each.path for each in group))) for group in groups.values())


def _without(text: str, path: str) -> str:
    return text.replace(path, "") if path else text


def verdict(report: Report, host: Host) -> str:
    """The last line: what is wrong, or that nothing was found to be, and how much of it could be seen."""
    errors = len(report.errors)
    warnings = sum(finding.severity is Severity.WARNING for finding in report.findings)
    if errors:
        also = f", {_number(warnings, 'warning')}" if warnings else ""
        return f"{_number(errors, 'error')}{also}"
    if report.inconclusive:
        unseen = sum(finding.severity is Severity.INCONCLUSIVE for finding in report.findings)
        return f"inconclusive: nothing is known to be wrong, but {_number(unseen, 'check')} could not see enough"
    found = "no error found" + (f", {_number(warnings, 'warning')}" if warnings else "")
    if host.coverage is not None:
        told = (
            "in what the report contains"
            if _tells_anything(host)
            else f"in a report that shows nothing of the machine: {_ADD}"
        )
        return f"{found} {told}"
    if not has_accelerators(host) and not host.pci:
        return f"{found}: no accelerator was seen, nor any PCI device"
    if not has_accelerators(host):
        return f"{found}: this host has no accelerator" + ("" if host.simulated else " that can be seen from here")
    return f"{found} in what could be seen"


def _tells_anything(host: Host) -> bool:
    """Whether a report has anything from which a fault could be known: output of a command, a log's line, a message."""
    details = host.details
    if host.coverage or details is None or has_accelerators(host) or host.pci:
        return True
    return bool(details.system.symptoms or details.system.log) or details.nvml.state is not NvmlState.UNASKED


def has_accelerators(host: Host) -> bool:
    """Whether there is any sign of one."""
    return bool(host.nvidia or host.tpus or host.accelerators)


def _number(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
