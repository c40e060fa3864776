"""A root in memory: the plan carried out in a VFS of its own. It changes nothing on the machine and needs no privilege."""

from __future__ import annotations

from devproxy.targets.memory.root import MemoryRoot
from devproxy.targets.memory.target import MemoryTarget

__all__ = ["MemoryRoot", "MemoryTarget"]
