"""A root that was built, whatever it was built on: the surface that `verify`, `inspect` and users read through.

Shaped like `os`; every path is absolute inside the root and resolved inside it.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import NamedTuple, Protocol, Self


class MountLine(NamedTuple):
    """One line of /proc/self/mountinfo as the root's process would read it (proc_pid_mountinfo(5)), escapes undone.

    `options` are the mount's own (`rw,nosuid`), `super_options` the file system's.
    """

    mount_id: int
    parent_id: int
    device: str
    root: str
    mount_point: str
    options: tuple[str, ...]
    tags: tuple[str, ...]
    fstype: str
    source: str
    super_options: tuple[str, ...]


class Root(Protocol):
    """A built root. A context manager: closing it drops the root (a kernel root's mounts go with its builder).

    Methods raise OSError as their namesakes in `os` do.
    """

    @property
    def simulated(self) -> bool:
        """Whether it was built from a recorded host: then ENXIO is what opening a device should say."""

    def listdir(self, path: str) -> list[str]:
        """The names in a directory, sorted."""

    def stat(self, path: str) -> os.stat_result:
        """What a path is, links followed inside the root."""

    def lstat(self, path: str) -> os.stat_result:
        """What a path is, a final link not followed."""

    def read_bytes(self, path: str) -> bytes:
        """The contents of a regular file, links followed inside the root. Errors: EINVAL for anything that is no
        regular file: a device or fifo is never opened by looking.
        """

    def readlink(self, path: str) -> str:
        """The target of a symbolic link."""

    def mountinfo(self) -> list[MountLine]:
        """The mount table, in the order of mountinfo."""

    def close(self) -> None:
        """Drop the root."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
