"""Whole paths that were walked before.

Containers ask for the same paths again and again; walking one costs a dictionary probe a component, remembering it one
for all. An entry is valid as long as no name on its way was renamed, removed, mounted over or closed to its user: whoever
does one of these calls `drop`. Only successful walks are kept, and none that went through ".." or a file system that wants
to be asked at every step.

Concurrency: readers take no lock. A walk takes `entries` before it starts and stores its result there; `drop` puts a new
dictionary in its place, so that the result of a walk that began before a change never outlives it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.mount import VirtualDentry

LIMIT: Final = 1 << 16
Walked: TypeAlias = "tuple[Credentials, VirtualDentry, VirtualDentry, str, bool]"
"""Who asked for what: `root`, `start`, `path` and `follow_final_symlink` of a `vfs.resolve.PathOperation`, whose path is not empty."""


class PathCache:
    """Results of walks by who asked for what."""

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: dict[Walked, VirtualDentry] = {}

    def drop(self) -> None:
        """Forget everything."""
        self.entries = {}
