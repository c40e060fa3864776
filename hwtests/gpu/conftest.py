"""The GPUs that a check on real hardware ran on."""

from __future__ import annotations

import pytest

from devproxy.host.facts import Host
from devproxy.host.probe import probe
from hwtests.conftest import Tell


@pytest.fixture(scope="session")
def deep_host(gpu_host: Host) -> Host:
    """The live host with everything that is known of it, looked at once more."""
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
