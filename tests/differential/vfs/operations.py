"""How many operations the random comparisons are asked for, and how many they did.

`DEVPROXY_OPERATIONS` is the number for all of them together; each has a share, in hundredths. The summary of the test session
tells what was done.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Final

WANTED: Final = int(os.environ.get("DEVPROXY_OPERATIONS", "100000"))

SHARES: Final = {
    "tmpfs": 27,
    "open files": 10,
    "a full tmpfs": 5,
    "overlay": 20,
    "hostfs": 4,
    "hostfs, exclusive": 3,
    "hostfs, shared": 3,
    "mounts": 5,
    "propagation": 5,
    "namespaces": 8,
    "less privileges": 2,
    "locks": 2,
    "locks over fuse": 1,
    "inotify": 3,
    "fuse": 1,
    "fuse, as the kernel": 1,
}
"""A new comparison takes its hundredths from the others."""
assert sum(SHARES.values()) == 100

done: Counter[str] = Counter()


def share(subject: str) -> int:
    """How many operations a comparison is to make."""
    return -(-WANTED * SHARES[subject] // 100)


def summary() -> str | None:
    """One line about what was done."""
    if not done:
        return None
    parts = [f"{count:,} on {subject}" for subject, count in done.most_common()]
    return f"differential: {done.total():,} operations answered as by the kernel: {', '.join(parts)}"
