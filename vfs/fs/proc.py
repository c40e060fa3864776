"""proc: the process file system, as far as a mount shows it (proc(5)).

The root directory and its mount options; what Linux shows below belongs to a running kernel. The options are those of
Documentation/filesystems/proc.rst: hidepid, gid, subset.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from vfs.filesystem import FilesystemType
from vfs.fs.static import StaticFilesystem, parse_number, refused
from vfs.options import MountOptions, mount_data

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.virtual_filesystem import VirtualFilesystem

_MAGIC: Final = 0x9FA0
_HIDEPID: Final = {
    "0": "off",
    "1": "noaccess",
    "2": "invisible",
    "4": "ptraceable",
    "off": "off",
    "noaccess": "noaccess",
    "invisible": "invisible",
    "ptraceable": "ptraceable",
}


class ProcType(FilesystemType):
    """Registers as "proc"."""

    name = "proc"

    def get_filesystem(
        self, vfs: VirtualFilesystem, creds: Credentials, source: str, options: MountOptions
    ) -> StaticFilesystem:
        """Errors: EINVAL."""
        shown = _parse(options.data)
        # A name that no process or entry has is not even looked up for making one: ENOENT, not EPERM.
        return StaticFilesystem(vfs, self.name, magic=_MAGIC, mode=0o555, options=shown, refusal=errno.ENOENT)


def _parse(data: str) -> str:
    gid, hidepid, subset = 0, "off", False
    for key, value in mount_data(data):
        if key == "gid":
            gid = parse_number(key, value)
        elif key == "hidepid" and value in _HIDEPID:
            hidepid = _HIDEPID[value]
        elif (key, value) == ("subset", "pid"):
            subset = True
        else:
            raise refused(key, value)
    shown = [f"gid={gid}"] if gid else []
    shown += [f"hidepid={hidepid}"] if hidepid != "off" else []
    shown += ["subset=pid"] if subset else []
    return ",".join(shown)
