"""Hardware jobs: accelerators handed to one command at a time, checked before and cleaned after.

There is no daemon. What a lease is, the kernel keeps: a lock (flock(2)) on a device's file, held by a descriptor that the
command inherits. It ends with the last process that has the descriptor, however that process dies.
"""

from __future__ import annotations
