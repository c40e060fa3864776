"""The lab as a test, for whoever asks for it: `pytest hwtests/lab -m lab`. CI runs `make lab`, which is the same."""

from __future__ import annotations

import sys

import pytest

from devproxy.process import run
from hwtests.lab.python_files import TREE


@pytest.mark.lab
def test_everything_passes_in_the_guest(request: pytest.FixtureRequest) -> None:
    if "lab" not in request.config.getoption("markexpr"):
        pytest.skip("it takes minutes, and may download a kernel: -m lab")
    done = run([sys.executable, "-m", "hwtests.lab"], check=False, cwd=str(TREE), timeout=1200)
    assert done.code == 0, done.out + done.err
