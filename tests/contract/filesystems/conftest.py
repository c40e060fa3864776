from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.contract.filesystems.subjects import SUBJECTS, Subject, mounted
from vfs import Mount, VirtualFilesystem


def _parameters(subjects: Iterable[Subject], *as_root: str) -> list[ParameterSet]:
    """What a test is run over. A server passes on who asks only if it is root's; so it is with those named."""
    return [
        pytest.param(each, id=each.name, marks=pytest.mark.root if each.served or each.name in as_root else ())
        for each in subjects
    ]


WRITABLE = _parameters((each for each in SUBJECTS if each.writable), "hostfs, writable", "hostfs, exclusive")
"""Making files for root in a directory of the machine needs to be root."""


@pytest.fixture(params=_parameters(SUBJECTS))
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
