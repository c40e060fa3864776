"""What every test of the suite is given: a way to build, and an image to build from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.targets.rig import TARGETS, Build, make_image


@pytest.fixture(params=TARGETS)
def build(request: pytest.FixtureRequest) -> Build:
    """`with build(work) as (root, result)`, on each target."""
    make: Build = request.param
    return make


@pytest.fixture
def image(tmp_path: Path) -> str:
    """See `make_image`."""
    return make_image(tmp_path)
