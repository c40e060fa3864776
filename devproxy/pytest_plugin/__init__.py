"""A plugin for pytest (entry point `devproxy`): tests lease accelerators, and a failed one says what state they were in.

    @pytest.mark.accelerators(2, kind="gpu", mem="80G")
    def test_all_reduce(accelerators): ...

It is loaded in every session of an environment that has devproxy, so that it imports nothing of devproxy's until a test
uses it: `fixtures` is what a session always loads, the modules behind it (`leasing`, `evidence`, `root`) are what a test does. What
is shared between the workers of pytest-xdist, other sessions and `devproxy lease` are locks that the kernel keeps: a worker
that is killed leaves nothing behind, and the controller has no part in it.
"""

from __future__ import annotations

import pytest

from devproxy.pytest_plugin import options
from devproxy.pytest_plugin.fixtures import (
    GIVEN,
    accelerator_host,
    accelerators,
    devproxy_host,
    devproxy_root,
    missing_hardware,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = [
    "accelerator_host",
    "accelerators",
    "devproxy_host",
    "devproxy_root",
    "missing_hardware",
]

_ACCELERATORS = """\
accelerators(number=1, *, kind=None, model='', mem=None, numa=None, wait=None): lease so many accelerators for the test, nobody \
else's meanwhile, in this session or another. kind: 'gpu' or 'tpu'; model: words of its name; mem: memory of each, '80G'; numa: a \
node; wait: how long for busy ones, '90s', '30m', 'forever' (default: --devproxy-wait). Where there is no such hardware the test is \
skipped."""
_BUNDLE = """\
devproxy_bundle(path, *, target=None, mode=None): the bundle that devproxy_root builds, relative to the test's file. target: \
'memory' or 'kernel'; mode: 'docker', 'spec' or 'none'."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options, all with names that nobody else has."""
    options.add(parser)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None]:
    """The short names, where every other plugin and conftest.py has left them free."""
    options.pass_over_value(early_config, args)
    yield
    options.add_short(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers; refuse options that cannot be meant."""
    for line in (_ACCELERATORS, _BUNDLE):
        config.addinivalue_line("markers", line)
    options.require_sound(config)


def pytest_report_header(config: pytest.Config) -> str | None:
    """The recording that stands for the host."""
    source = options.host(config)
    return f"devproxy: {source} stands for this host" if source != "live" else None


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Markers that cannot be meant are errors of the collection, with file and line."""
    report = yield
    marked = [each for each in report.result if isinstance(each, pytest.Item) and _is_marked(each)]
    if marked:
        from devproxy.pytest_plugin.wish import mistakes

        told = mistakes(marked)
        if told:
            report.outcome, report.result, report.longrepr = "failed", [], "\n".join(told)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A marked test gets its lease before any fixture is set up."""
    if item.get_closest_marker("accelerators") is None:
        return
    names = getattr(item, "fixturenames", None)
    if names is None:
        pytest.fail(f"{item.nodeid} has no fixtures: accelerators cannot be leased for it", pytrace=False)
    # A list of its own: the cases of a parametrized test share theirs.
    item.fixturenames = ["accelerators", *(name for name in names if name != "accelerators")]  # type: ignore[attr-defined]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test's report gets the evidence."""
    report = yield
    given = item.stash.get(GIVEN, None) if report.failed else None
    if given is not None:
        from devproxy.pytest_plugin.evidence import attach

        attach(item, report, given)
    return report


def _is_marked(item: pytest.Item) -> bool:
    return item.get_closest_marker("accelerators") is not None or item.get_closest_marker("devproxy_bundle") is not None
