"""Our overlay and the kernel's answer alike: same results, same tree, same whiteouts and opaque directories in the upper layer."""

from __future__ import annotations

import pytest

from tests.differential.vfs.explore import explore
from tests.differential.vfs.overlays import COMPARISON

pytestmark = [pytest.mark.root, pytest.mark.property]


def test_any_program_through_an_overlay_does_the_same() -> None:
    explore("overlay", COMPARISON)
