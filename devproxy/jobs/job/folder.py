"""What of a job goes into its folder, and when: as soon as it is known. Where there is no folder, nothing does."""

from __future__ import annotations

import json

from devproxy.check.finding import Report
from devproxy.check.report_json import report_document
from devproxy.difference.comparison import Comparison, to_json
from devproxy.errors import DevproxyError
from devproxy.jobs.job.artifacts import FORMAT, Artifacts
from devproxy.jobs.job.asked import Asked
from devproxy.jobs.job.document import job_document, timings
from devproxy.jobs.job.result import Phase, Result
from devproxy.jobs.scope import Scope, scope_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

VARIABLE: Final = "DEVPROXY_ARTIFACTS"
"""Tells the command where the folder is, so that it can put its own files there."""


class Folder:
    """Writes. What cannot be written is in `problems`: a full disk ends no job half-way."""

    def __init__(self, artifacts: Artifacts | None, asked: Asked) -> None:
        self.artifacts = artifacts
        self.problems: list[str] = []
        self._asked = asked
        self._scope: Scope | None = None

    def variables(self) -> dict[str, str]:
        """What the command is told of the folder."""
        return {VARIABLE: self.artifacts.path} if self.artifacts else {}

    def lease(self, scope: Scope) -> None:
        """The devices are had."""
        self._scope = scope
        self._write("lease.json", scope_document(scope).encode())

    def phase(self, name: str, before: Sequence[Phase]) -> None:
        """A phase begins."""
        self._write("timings.json", _json(timings(before)))
        self._write("job.json", _json(self._so_far(f"in the phase '{name}'", before)))

    def broken_off(self, error: BaseException) -> None:
        """It ended before it came to its end."""
        words = error.message if isinstance(error, DevproxyError) else str(error) or type(error).__name__
        self._write("job.json", _json(self._so_far(f"broken off: {words}", ())))

    def _so_far(self, state: str, phases: Sequence[Phase]) -> dict[str, object]:
        return {
            "format": FORMAT,
            "state": state,
            "command": list(self._asked.command),
            "lease": self._scope.ident if self._scope else None,
            "devices": [device.name for device in self._scope.devices] if self._scope else [],
            "phases": timings(phases)["phases"],
        }

    def recording(self, name: str, archive: bytes) -> None:
        """`before`, `after`, `cleaned`."""
        self._write(f"{name}.tar", archive)

    def report(self, name: str, report: Report) -> None:
        """What a check said: `before`, `after`."""
        self._write(f"check-{name}.json", _json(report_document(report)))

    def difference(self, difference: Comparison) -> None:
        """What differs between before and after."""
        self._write("diff.json", _json(to_json(difference)))
        lines = [f"{line.group}: {line.text}" for line in difference.lines]
        lines += [f"not compared: {each}" for each in difference.unseen]
        self._write("diff.txt", ("\n".join(lines or ["no differences"]) + "\n").encode(errors="backslashreplace"))

    def cleaned(self, document: dict[str, object]) -> None:
        """What was left behind."""
        self._write("clean.json", _json(document))

    def kernel(self, lines: Sequence[str], why: str) -> None:
        """What the kernel said."""
        told = [f"({why}: what concerns accelerators, from the recordings)"] if why else []
        self._write("kernel.log", ("\n".join((*told, *lines, ""))).encode(errors="backslashreplace"))

    def result(self, result: Result) -> None:
        """Everything that is made of everything else."""
        if self.artifacts is None:
            return
        from devproxy.jobs.job.junit import junit_of
        from devproxy.jobs.job.page import page_of
        from devproxy.jobs.job.quality import quality_of

        self._write("timings.json", _json(timings(result.phases)))
        self._write("junit.xml", junit_of(result))
        self._write("codequality.json", _json(quality_of(result)))
        self._write("report.html", page_of(result).encode(errors="backslashreplace"))
        self._write("job.json", _json(job_document(result)))

    def _write(self, name: str, data: bytes) -> None:
        if self.artifacts is None:
            return
        try:
            self.artifacts.write(name, data)
        except DevproxyError as error:
            if error.message not in self.problems:
                self.problems.append(error.message)


def _json(document: object) -> bytes:
    return json.dumps(document, indent=2).encode() + b"\n"
