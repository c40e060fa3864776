"""What is planted for leases to clean: whose it is, and files."""

from __future__ import annotations

import os
from pathlib import Path

from tests.unprivileged import UID

# A user who has no process at all, so that nobody but the lease can have made what is theirs.
LONELY = UID + 40
OTHER = UID + 41


def plant(path: Path, uid: int | None = None, text: str = "x") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    if uid is not None and os.geteuid() == 0:
        os.chown(path, uid, uid)
    return path
