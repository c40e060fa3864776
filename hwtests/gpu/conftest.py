"""What a check on real hardware saw, shown whatever its outcome."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest

from devproxy.host.facts import Host
from devproxy.host.probe import probe

Tell = Callable[[str, object], None]


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
def deep_host(gpu_host: Host) -> Host:
    """The live host with everything that is known of it."""
    del gpu_host
    return probe(deep=True)


@pytest.fixture(autouse=True)
def header(gpu_host: Host, tell: Tell) -> None:
    """On what it ran."""
    assert gpu_host.nvidia is not None
    models = sorted({gpu.model for gpu in gpu_host.nvidia.gpus})
    tell(
        "on",
        f"Linux {gpu_host.kernel}, driver {gpu_host.nvidia.version}, {len(gpu_host.nvidia.gpus)} x {', '.join(models)}",
    )
