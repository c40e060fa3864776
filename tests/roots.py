"""Roots to test with, wherever they are built."""

from __future__ import annotations

import devproxy
from devproxy.build import Root
from devproxy.plan.plan import Plan
from devproxy.targets.kernel.paths import OLDEST


def build_on(plan: Plan, target: str) -> Root:
    """Build on `memory`, on the `kernel`, or on the `oldest kernel`, whose ways are forced."""
    if target == "oldest kernel":
        return devproxy.build(plan, "kernel", paths=OLDEST)
    return devproxy.build(plan, target)
