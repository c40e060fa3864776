"""devpts: pseudo-terminal slaves, one instance a mount (pts(4); Documentation/filesystems/devpts.rst).

An instance begins with `ptmx` alone; terminals appear when it is opened, which needs a running kernel.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from vfs.filesystem import FilesystemType
from vfs.fs.static import StaticFile, StaticFilesystem, Synthetic, parse_number, refused
from vfs.options import MountOptions, mount_data

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.virtual_filesystem import VirtualFilesystem

_MAGIC: Final = 0x1CD1
_MAX_TERMINALS: Final = 1 << 20
_PTMX_INO: Final = 2
_PTMX_RDEV: Final = os.makedev(5, 2)
_BASES: Final = {"uid": 10, "gid": 10, "mode": 8, "ptmxmode": 8, "max": 10}


class DevptsType(FilesystemType):
    """Registers as "devpts"."""

    name = "devpts"

    def get_filesystem(
        self, vfs: VirtualFilesystem, creds: Credentials, source: str, options: MountOptions
    ) -> StaticFilesystem:
        """Errors: EINVAL."""
        values = _parse(options.data)
        fs = StaticFilesystem(vfs, self.name, magic=_MAGIC, mode=0o755, options=_shown(values), whole=True)
        ptmx = Synthetic(stat.S_IFCHR | values.get("ptmxmode", 0), rdev=_PTMX_RDEV)
        fs.directory.entries["ptmx"] = StaticFile(fs, _PTMX_INO, ptmx)
        return fs


def _parse(data: str) -> dict[str, int]:
    """The options that have a value, the last of a kind wins; `newinstance` is what every mount is since Linux 4.7."""
    values: dict[str, int] = {}
    for key, value in mount_data(data):
        if key == "newinstance" and value is None:
            continue
        if key not in _BASES:
            raise refused(key, value)
        parsed = parse_number(key, value, _BASES[key])
        if key == "max" and parsed > _MAX_TERMINALS:
            raise refused(key, value)
        values[key] = parsed & 0o7777 if _BASES[key] == 8 else parsed
    return values


def _shown(values: dict[str, int]) -> str:
    shown = [f"{key}={values[key]}" for key in ("uid", "gid") if key in values]
    shown += [f"mode={values.get('mode', 0o600):03o}", f"ptmxmode={values.get('ptmxmode', 0):03o}"]
    if values.get("max", _MAX_TERMINALS) < _MAX_TERMINALS:
        shown.append(f"max={values['max']}")
    return ",".join(shown)
