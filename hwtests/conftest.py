"""The machine's own facts, and what each test saw of it. Devices are leased, and missing, by devproxy's own plugin for pytest."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

import devproxy
from devproxy.host.facts import Host
from hwtests import evidence

Tell = Callable[[str, object], None]

_results = pytest.StashKey[list[dict[str, Any]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--evidence", metavar="FILE.tar", help="leave what was seen: a recording, each test's evidence")


def pytest_report_header() -> str:
    return f"hardware: {evidence.headline(devproxy.probe())}"


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_results] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Keep the outcome of the test itself, or of the fixture that kept it from running."""
    report: pytest.TestReport = yield
    if report.when == "call" or report.outcome != "passed":
        told: list[list[object]] = [list(pair) for pair in report.user_properties]
        said = "" if report.outcome == "passed" else str(report.longrepr)
        found = {"test": report.nodeid, "when": report.when, "outcome": report.outcome, "said": said, "evidence": told}
        item.config.stash[_results].append(found)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption("--evidence")
    if path:
        evidence.write(path, session.config.stash[_results])


@pytest.fixture
def tell(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Tell:
    """Print a piece of evidence past pytest, and keep it with the test's result."""

    def show(what: str, value: object) -> None:
        text = value if isinstance(value, str) else json.dumps(value, default=str, sort_keys=True)
        request.node.user_properties.append((what, text))
        with capsys.disabled():
            sys.stdout.write(f"\n{request.node.name}: {what}: {text}\n")

    return show


@pytest.fixture(scope="session")
def gpu_host(devproxy_host: Host, missing_hardware: Callable[[str], NoReturn]) -> Host:
    """The live host, with GPUs that have nodes."""
    if devproxy_host.nvidia is None or not devproxy_host.nvidia.gpus:
        missing_hardware("this host has no NVIDIA GPU")
    if devproxy_host.node("/dev/nvidiactl") is None:
        missing_hardware("this host's NVIDIA driver has no device nodes")
    if os.geteuid() != 0:
        missing_hardware("needs root")
    return devproxy_host


@pytest.fixture(scope="session")
def tpu_host(devproxy_host: Host, missing_hardware: Callable[[str], NoReturn]) -> Host:
    """The live host, with TPUs that can be used."""
    if not devproxy_host.tpus:
        missing_hardware("this host has no TPU")
    if not any(chip.nodes for chip in devproxy_host.tpus):
        missing_hardware(f"no TPU of this host can be used: {devproxy_host.tpus[0].problem}")
    if os.geteuid() != 0:
        missing_hardware("needs root")
    return devproxy_host
