"""Every way to mount that this kernel has, and a rootfs to do it with."""

from __future__ import annotations

from pathlib import Path

import pytest

from devproxy.targets.kernel.paths import KernelPaths
from tests.devproxy.targets_kernel.rig import (
    EVERY_WAY,
    make_rootfs,
    usable,
)


@pytest.fixture(params=EVERY_WAY)
def paths(request: pytest.FixtureRequest) -> KernelPaths:
    usable(request.param)
    assert isinstance(request.param, KernelPaths)
    return request.param


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    return make_rootfs(tmp_path)
