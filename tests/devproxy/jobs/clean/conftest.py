"""Leases to clean after: of a user who has other processes, and of one who has none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.devproxy.jobs.clean.dirty import Job, job, tpu
from tests.devproxy.jobs.clean.planted import LONELY


@pytest.fixture
def lease() -> Iterator[Job]:
    with job() as made:
        yield made


@pytest.fixture
def lonely() -> Iterator[Job]:
    with job(uid=LONELY, devices=[tpu()]) as made:
        yield made
