"""What a check found, and the report that it makes.

Codes are stable: people and dashboards key on them. What could not be seen is a finding of its own (`unreadable`),
which makes a report inconclusive: a check that cannot see never says fine.
"""

from __future__ import annotations

import errno
import os

from devproxy.choice import Choice
from devproxy.record import Record


class Severity(Choice):
    """How bad a finding is. `INCONCLUSIVE` marks what could not be seen."""

    ERROR = "error"
    INCONCLUSIVE = "inconclusive"
    WARNING = "warning"
    INFO = "info"


class Evidence(Record):
    """A value that was read, and from where: a path, a fact of a recording, a line of a report."""

    source: str
    value: str


class Finding(Record):
    """One difference. `code` says which kind, in kebab-case; `path` is what it is about (a path, a PCI address, a UUID);
    `why` is the reason of the step that asked for the path, or what was tried; `hint` is what to do, the command to
    type, or empty; `evidence` what was read; `reference` the code that others have for it (`DCGM_FR_...`, `Xid 79`).
    """

    code: str
    severity: Severity
    path: str
    expected: str
    found: str
    why: str = ""
    hint: str = ""
    evidence: tuple[Evidence, ...] = ()
    reference: str = ""

    def describe(self) -> str:
        """`/dev/nvidia0: 195:1, expected 195:0 [node-number-wrong]`."""
        return f"{self.path}: {self.found}, expected {self.expected} [{self.code}]"


class Report(Record):
    """What a check compared and what it found.

    `compared` names what was looked at, with how many of each; `notes` are things worth knowing that are no difference.
    """

    findings: tuple[Finding, ...]
    compared: tuple[tuple[str, int], ...]
    notes: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that say the root is wrong."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)

    @property
    def inconclusive(self) -> bool:
        """Whether something that had to be seen could not be seen."""
        return any(finding.severity is Severity.INCONCLUSIVE for finding in self.findings)

    @property
    def ok(self) -> bool:
        """Whether everything was seen and nothing is wrong."""
        return not self.errors and not self.inconclusive

    @property
    def exit_code(self) -> int:
        """0 when all is well, 3 when an error was found, 4 when only the sight was missing."""
        return 3 if self.errors else 4 if self.inconclusive else 0


def error(code: str, path: str, expected: str, found: str, why: str = "") -> Finding:
    """A finding that says the root is wrong."""
    return Finding(code, Severity.ERROR, path, expected, found, why)


def unreadable(path: str, problem: OSError, why: str = "") -> Finding:
    """A path that could not be looked at: neither fine nor wrong."""
    name = errno.errorcode.get(problem.errno or 0, "error")
    found = f"{name}: {os.strerror(problem.errno)}" if problem.errno else str(problem)
    return Finding("unreadable", Severity.INCONCLUSIVE, path, "to be readable", found, why)
