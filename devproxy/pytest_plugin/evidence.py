"""What a failed test's report is given: the lease, what is wrong with the leased devices, what the kernel logged, a recording.

The report carries it in three ways: as sections, which the terminal shows and which pytest-xdist sends to the controller; as
properties of the test, which JUnit XML has; and as a recording in a file, which `devproxy doctor --host FILE` examines later. What
may hang is done by another process, which is left behind when it does.
"""

from __future__ import annotations

import os
import re
import sys
import time

import pytest

from devproxy.check.doctor.case import Case
from devproxy.check.doctor.examine import examine
from devproxy.check.doctor.words import Told, together, verdict
from devproxy.check.finding import Report
from devproxy.errors import DevproxyError
from devproxy.host.facts import Host
from devproxy.host.probe import probe
from devproxy.jobs.health.case import is_of, owner, units
from devproxy.jobs.health.catalogue import JOB_CHECKS
from devproxy.jobs.health.examine import check
from devproxy.process import listen
from devproxy.pytest_plugin import options
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.jobs.job.kernel_log import KernelLog
    from devproxy.pytest_plugin.leasing import Given
    from devproxy.pytest_plugin.session import Session

_LIMIT: Final = 1 << 20
_MOST: Final = 20
_EVIDENCE: Final = 3
_LINES: Final = 200
_RECORDINGS: Final = "devproxy-recordings"


class Recorded(Record):
    """The host as it was right after the failure: the recording's path, or why there is none."""

    path: str
    why: str = ""


def attach(item: pytest.Item, report: pytest.TestReport, given: Given) -> None:
    """Attach the evidence of a failure to a test's report, once a test. Nothing that goes wrong here is raised."""
    if given.is_told:
        return
    given.is_told = True
    texts = {"lease": _lease(given)}
    try:
        recorded = _record(item, given)
        texts["findings"] = _findings(recorded, given) if recorded.path else f"not looked for: {recorded.why}"
        if recorded.path:
            texts["recording"] = recorded.path
    except Exception as error:  # noqa: BLE001 (what failed is the test; a defect of ours must not end the session)
        texts["findings"] = f"not looked for: {type(error).__name__}: {error}"
    if given.log is not None:
        texts["kernel log"] = _kernel_log(given.log, is_over=given.is_over)
    for name, text in texts.items():
        clean = _clean(text)
        report.sections.append((f"devproxy {name}", clean))
        # Of the item too: JUnit XML takes the properties of the last report, that of the teardown.
        for properties in (item.user_properties, report.user_properties):
            properties.append((f"devproxy.{name.replace(' ', '-')}", clean))


def _lease(given: Given) -> str:
    found = given.accelerators
    lines = [f"lease {found.scope.ident} of host {found.host}, since {_time(found.scope.since)}"]
    for device in found.devices:
        model = f" {device.model}" if device.model else ""
        lines.append(
            f"{device.kind.value} {device.rank}{model}: {device.name}, {device.address}, {', '.join(device.nodes)}"
        )
    lines += [f"{name}={value}" for name, value in found.environment.items()]
    if given.is_over:
        lines.append("given back before this was looked at: what follows may be another's doing")
    return "\n".join(lines)


def _kernel_log(log: KernelLog, *, is_over: bool) -> str:
    if is_over:
        return "not looked at: it was let go with the lease"
    return "\n".join(log.lines()[-_LINES:]) or log.why or "nothing since the test began"


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


# the recording


def _record(item: pytest.Item, given: Given) -> Recorded:
    session = given.session
    if session.simulated:
        return Recorded(session.source)
    if session.hangs:
        return Recorded("", session.hangs)
    directory = _directory(session)
    if directory is None:
        return Recorded("", "no place for a recording: add --devproxy-artifacts DIR")
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as error:
        return Recorded("", f"cannot make {directory}: {(error.strerror or '').lower()}")
    path = os.path.join(directory, f"{_slug(item.nodeid)}-{given.accelerators.scope.ident[:8]}.tar")
    # Ours alone, wherever the test's own working directory and modules are.
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    environment = {**os.environ, "PYTHONPATH": package, "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-m", "devproxy", "record", path]
    # A driver that hangs costs a session this once, not once a test.
    seconds = options.evidence_timeout(session.config)
    heard = listen(command, seconds=seconds, limit=_LIMIT, env=environment)
    if heard.code == 0:
        return Recorded(path)
    why = f"'devproxy record' ended with {heard.ending}"
    if heard.code is None:
        why = f"'devproxy record' gave {heard.ending} ({seconds} s): a driver may hang"
        session.hangs = f"{why}; not tried again"
    return Recorded("", why)


def _directory(session: Session) -> str | None:
    return options.artifacts(session.config) or session.directory(_RECORDINGS)


def _slug(nodeid: str) -> str:
    """A name of a file, of what a test is called."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", nodeid).strip("_.")[-120:]


# the findings


def _findings(recorded: Recorded, given: Given) -> str:
    """What is wrong with the leased devices, and with what they share with others."""
    try:
        whole = probe(recorded.path, deep=True)
    except DevproxyError as error:
        return f"not looked for: {error.message}"
    report = _about(whole, given)
    lines = [line for told in together(report.findings)[:_MOST] for line in _words(told)]
    return "\n".join((*lines, verdict(report, whole)))


def _about(host: Host, given: Given) -> Report:
    """What a check of the leased devices after the job finds, and what else the doctor finds of them and of the host."""
    scope = given.accelerators.scope
    names = frozenset(given.accelerators.names)
    # A recording's log is older than any test.
    report = check(host, devices=names if given.session.simulated else scope)
    every = units(host)
    more = examine(Case(host), skip=[each.code for each in JOB_CHECKS]).findings
    own = [each for each in more if (unit := owner(each.path, every)) is None or is_of(unit, names)]
    return report._replace(findings=(*report.findings, *own))


def _words(told: Told) -> list[str]:
    finding = told.finding
    lines = [
        f"{finding.severity.value} {finding.code}: {told.subject}",
        f"  found {finding.found}, expected {finding.expected}",
    ]
    lines += [f"  {name} {words}" for name, words in (("why", finding.why), ("do", finding.hint)) if words]
    return lines + [f"  read {each.source}: {each.value}" for each in finding.evidence[:_EVIDENCE]]


def _clean(text: str) -> str:
    """As text that every encoding can carry: a path may have bytes that are no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
