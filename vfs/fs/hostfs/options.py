"""What a hostfs mount is asked for."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfs.fs.hostfs.calls import HostCalls


class CharacterDevices(enum.Enum):
    """Who answers for a character device that is found on the machine: the VFS's device table alone; the machine where the
    table has no such number; or always the machine.
    """

    EMULATED_ONLY = "emulated-only"
    PREFER_EMULATED = "prefer-emulated"
    PASSTHROUGH = "passthrough"


@dataclass(frozen=True, slots=True)
class HostfsOptions:
    """For `MountOptions.internal`: `root_fd` is a descriptor (O_PATH will do) of the directory or file to show, which the
    mount duplicates; the caller closes its own. Not `writable`, the machine is never changed. With `fifos`, a fifo is the
    machine's own, and whoever opens it meets the machine's processes (S21). `character_devices` says whether opening a
    node may reach a driver of the machine (H21). `devices` lets device nodes be made there.

    `exclusive` says that nobody else changes the tree, so that names and attributes found once need not be looked at again
    (file-access of S21). `calls` are for what `os` has no call for: without them, renaming with flags is EINVAL, allocating
    with modes EOPNOTSUPP, and times of birth are unknown.
    """

    root_fd: int
    writable: bool = False
    recursive: bool = True
    fifos: bool = False
    character_devices: CharacterDevices = CharacterDevices.EMULATED_ONLY
    exclusive: bool = False
    devices: bool = False
    calls: HostCalls | None = None
