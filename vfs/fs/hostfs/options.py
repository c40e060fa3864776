"""What a hostfs mount is asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HostfsOptions:
    """For `MountOptions.internal`: `root_fd` is a descriptor (O_PATH will do) of the directory or file to show, which the
    mount duplicates; the caller closes its own. Not `writable`, the machine is never changed. With `fifos`, a fifo is the
    machine's own, and whoever opens it meets the machine's processes (S21).
    """

    root_fd: int
    writable: bool = False
    recursive: bool = True
    fifos: bool = False
