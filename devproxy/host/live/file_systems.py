"""How large /dev/shm is, where NCCL and data loaders share memory (statvfs(3))."""

from __future__ import annotations

import os


def read() -> dict[str, object]:
    """`{"file_systems": [{"path", "size", "free"}]}`, without those that are no mounts of their own."""
    return {"file_systems": sizes(("/dev/shm",))}  # noqa: S108


def sizes(paths: tuple[str, ...]) -> list[object]:
    """Size and free bytes of the file systems that are mounted at some paths."""
    found: list[object] = []
    for path in paths:
        try:
            if not os.path.ismount(path):
                continue
            has = os.statvfs(path)
        except FileNotFoundError:
            continue
        found.append({"free": has.f_bavail * has.f_frsize, "path": path, "size": has.f_blocks * has.f_frsize})
    return found
