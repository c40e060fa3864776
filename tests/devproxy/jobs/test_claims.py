"""Claims: whoever may write into the queue's directory can put anything there, and only a file is anybody's claim."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from devproxy.jobs.claims import Own, Watched, living


@pytest.mark.parametrize("put", [os.mkdir, os.mkfifo, lambda path: os.symlink("elsewhere", path)])
def test_what_is_no_file_is_nobodys_claim(put: Callable[[str], None], tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    claim = Own(folder, {"wants": []})
    (seen,) = living(folder)
    claim.withdraw()
    put(str(tmp_path / seen.name))  # by its owner, after it was seen
    locked = os.open(tmp_path / seen.name, os.O_RDONLY) if (tmp_path / seen.name).is_dir() else None
    if locked is not None:
        fcntl.flock(locked, fcntl.LOCK_EX)
    watched = Watched(folder, seen)
    assert watched.is_over()
    assert not watched.waits()
    assert living(folder) == []
    watched.close()
    for descriptor in (folder, locked):
        if descriptor is not None:
            os.close(descriptor)


def test_a_claim_says_when_its_owner_waits(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    claim = Own(folder, {"wants": ["GPU-0"]})
    watched = Watched(folder, living(folder)[0])
    before = watched.is_over(), watched.waits()
    claim.waits()
    claim.waits()
    after = watched.is_over(), watched.waits()
    assert (before, after) == ((False, False), (False, True))
    assert [each.words for each in living(folder)] == [{"wants": ["GPU-0"]}]
    claim.withdraw()
    assert watched.is_over()
    watched.close()
    os.close(folder)
