"""The machine's own facts, and the switch that turns a missing device into a failure."""

from __future__ import annotations

import os

import pytest

import devproxy
from devproxy.host.facts import Host


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--require-hardware", action="store_true", help="fail, rather than skip, without the hardware")


@pytest.fixture(scope="session")
def gpu_host(request: pytest.FixtureRequest) -> Host:
    """The live host, with GPUs that have nodes."""
    host = devproxy.probe()
    missing = ""
    if host.nvidia is None or not host.nvidia.gpus:
        missing = "this host has no NVIDIA GPU"
    elif host.node("/dev/nvidiactl") is None:
        missing = "this host's NVIDIA driver has no device nodes"
    elif os.geteuid() != 0:
        missing = "needs root"
    if missing:
        (pytest.fail if request.config.getoption("--require-hardware") else pytest.skip)(missing)
    return host
