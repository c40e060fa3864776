"""Who watches is told the same by ours and by the kernel: the same events in the same order, packed alike."""

from __future__ import annotations

import pytest

from tests.differential.vfs.explore import Comparison, explore
from tests.differential.vfs.watching import WATCHING, ours, theirs

pytestmark = [pytest.mark.root, pytest.mark.property]


def test_any_program_tells_its_watchers_the_same() -> None:
    explore("inotify", Comparison(WATCHING, ours, theirs))
