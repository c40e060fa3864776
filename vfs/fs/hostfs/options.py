"""What a hostfs mount is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfs.fs.hostfs.calls import HostCalls


@dataclass(frozen=True, slots=True)
class HostfsOptions:
    """For `MountOptions.internal`: `root_fd` is a descriptor (O_PATH will do) of the directory or file to show, which the
    mount duplicates; the caller closes its own. Not `writable`, the machine is never changed. With `fifos`, a fifo is the
    machine's own, and whoever opens it meets the machine's processes (S21). `devices` lets device nodes be made there.

    `exclusive` says that nobody else changes the tree, so that names and attributes found once need not be looked at again
    (file-access of S21). `calls` are for what `os` has no call for: without them, renaming with flags is EINVAL, allocating
    with modes EOPNOTSUPP, and times of birth are unknown.
    """

    root_fd: int
    writable: bool = False
    recursive: bool = True
    fifos: bool = False
    exclusive: bool = False
    devices: bool = False
    calls: HostCalls | None = None
