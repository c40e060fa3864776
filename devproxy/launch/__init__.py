"""A process started inside a built root: its standard streams, its signals, its exit code."""

from __future__ import annotations

from devproxy.launch.launcher import launch
from devproxy.targets.kernel.failure import NotExecutable, NotFound

__all__ = ["NotExecutable", "NotFound", "launch"]
