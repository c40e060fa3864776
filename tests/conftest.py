"""What every test can rely on: nothing leaks, nothing is started in secret, what cannot run says why and is counted."""

from __future__ import annotations

import os
import stat
import sys
from collections import Counter
from collections.abc import Iterator

import psutil
import pytest
from hypothesis import HealthCheck, settings

from tests.attacks import totals
from tests.devproxy.check.doctor import totals as doctor_totals
from tests.differential.vfs import operations
from tests.trace import gather

_SLOW_MACHINES = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("few", deadline=None, max_examples=60, suppress_health_check=_SLOW_MACHINES)
# The same cases each time: what CI says of a change is about the change. New cases are for developers and the soak.
settings.register_profile("ci", settings.get_profile("few"), derandomize=True, database=None)
settings.register_profile("soak", deadline=None, max_examples=6000, suppress_health_check=_SLOW_MACHINES)
settings.load_profile(os.environ.get("DEVPROXY_HYPOTHESIS", "few"))

_programs_allowed = False


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event == "subprocess.Popen" and not _programs_allowed:
        raise AssertionError(f"this test starts {arguments[1]!r}: mark it `programs`, `peer` or `root`")


# An audit hook sees every way of starting a program, however it was imported; it cannot be removed, hence the flag.
sys.addaudithook(_audit)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    gather.remember(config, items)
    for item in items:
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture(autouse=True)
def programs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Host programs are started only by tests that say so."""
    global _programs_allowed  # noqa: PLW0603 (the audit hook outlives the test and needs one place to look)
    _programs_allowed = any(request.node.get_closest_marker(name) for name in ("programs", "peer", "root"))
    yield
    _programs_allowed = False


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """A test leaves no mount, no descriptor, no child behind, and /dev/null as it was."""
    before = _mounts(), _descriptors(), _host()
    yield
    children = _end_children()
    assert not children, f"children were left behind: {children}"
    after = _mounts(), _descriptors(), _host()
    assert after[0] == before[0], "mounts were left behind"
    assert after[1] <= before[1], f"descriptors were left open: {[_what(fd) for fd in after[1] - before[1]]}"
    assert after[2] == before[2], "something was made or changed in the host's own directories"
    null = os.stat("/dev/null")
    assert stat.S_ISCHR(null.st_mode), "/dev/null is no device any more"
    # In a user namespace the host's root shows as the overflow uid.
    assert null.st_uid in (0, 65534), f"/dev/null belongs to {null.st_uid} now: runsc was given it as a standard stream"


def _mounts() -> list[str]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        return sorted(lines)


def _descriptors() -> set[int]:
    return {int(name) for name in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{name}")}


def _host() -> list[tuple[str, int, list[str]]]:
    """Where something appears when a path was taken for the host's: names, and the modes of the directories."""
    return [(path, os.stat(path).st_mode, sorted(os.listdir(path))) for path in ("/", "/etc", "/mnt", "/srv")] + [
        ("/tmp", os.stat("/tmp").st_mode, [])  # others make things there at any time
    ]


def _what(fd: int) -> str:
    try:
        return f"{fd}: {os.readlink(f'/proc/self/fd/{fd}')}"
    except OSError:
        return str(fd)


def _end_children() -> list[str]:
    """The commands of the children left over, which are ended: the tests that follow are not to be blamed for them."""
    left = []
    while _has_child():
        for child in psutil.Process().children():
            left.append(str(child.as_dict(("pid", "status", "cmdline"))))
            child.kill()
            os.waitpid(child.pid, 0)
    return left


def _has_child() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def pytest_sessionfinish(session: pytest.Session) -> None:
    """On CI a test that cannot run is a failure: only real hardware may be missing there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("DEVPROXY_CI") and reporter is not None:
        missing = [report for report in reporter.stats.get("skipped", []) if "gpu" not in report.keywords]
        if missing and not session.exitstatus:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what was compared at random, what attacks came to, and count what did not run, by its reason."""
    compared = operations.summary()
    if compared:
        terminalreporter.write_line(compared)
    for line in (*totals.summary(), *doctor_totals.summary()):
        terminalreporter.write_line(line)
    reasons = Counter(
        str(report.longrepr[2])
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"not run: {count} tests, {reason.removeprefix('Skipped: ')}")
