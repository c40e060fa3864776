"""Roots to test with, wherever they are built."""

from __future__ import annotations

import devproxy
from devproxy.build import Root
from devproxy.plan.plan import Plan
from devproxy.targets.kernel.paths import OLDEST


def build_on(plan: Plan, target: str, *, keep: bool = False) -> Root:
    """Build on `memory`, on the `kernel`, or on the `oldest kernel`, whose ways are forced. With `keep` it can be saved."""
    if target == "oldest kernel":
        return devproxy.build(plan, "kernel", paths=OLDEST, keep=keep)
    return devproxy.build(plan, target, keep=keep)
