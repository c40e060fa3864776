"""A place for a job."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.devproxy.jobs.job.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)
