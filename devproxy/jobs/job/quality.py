"""A job's findings as GitLab's code quality report (docs.gitlab.com, "Code Quality report format"): shown beside a merge request.

A finding is about a device and no file: its place is a path that no repository has, below `hardware/`.
"""

from __future__ import annotations

import hashlib

from devproxy.check.finding import Severity
from devproxy.jobs.job.result import Result
from devproxy.jobs.job.verdict import device_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_SEVERITIES: Final = {
    Severity.ERROR: "blocker",
    Severity.INCONCLUSIVE: "minor",
    Severity.WARNING: "minor",
    Severity.INFO: "info",
}


def quality_of(result: Result) -> list[dict[str, object]]:
    """`[{"description", "check_name", "fingerprint", "severity", "location": {"path", "lines": {"begin": 1}}}]`; the fingerprint
    is the same as long as the same is found of the same device.
    """
    look = result.after or result.before
    devices = result.scope.devices if result.scope else ()
    return [
        {
            "description": finding.describe(),
            "check_name": finding.code,
            "fingerprint": hashlib.sha256(f"{finding.code}\0{finding.path}".encode(errors="surrogatepass")).hexdigest(),
            "severity": _SEVERITIES[finding.severity],
            "location": {"path": f"hardware/{device_of(finding, devices) or 'host'}", "lines": {"begin": 1}},
        }
        for finding in (look.report.findings if look else ())
    ]
