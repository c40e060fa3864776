from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.filesystems.subjects import SUBJECTS, Subject, mounted
from vfs import Mount, VirtualFilesystem


@pytest.fixture(params=SUBJECTS, ids=[subject.name for subject in SUBJECTS])
def subject(request: pytest.FixtureRequest) -> Subject:
    chosen: Subject = request.param
    return chosen


@pytest.fixture
def place(tmp_path: Path) -> Path:
    directory = tmp_path / "place"
    directory.mkdir()
    return directory


@pytest.fixture
def mount(subject: Subject, place: Path) -> Iterator[Mount]:
    with mounted(subject, place) as (_, found):
        yield found


@pytest.fixture
def vfs(mount: Mount) -> VirtualFilesystem:
    return mount.fs.vfs
