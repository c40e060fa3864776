"""The CPUs that this process may use (sched_getaffinity(2))."""

from __future__ import annotations

import os


def read() -> dict[str, object]:
    """`{"cpus": [0, 1, ...]}`."""
    return {"cpus": sorted(os.sched_getaffinity(0))}
