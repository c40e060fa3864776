"""The type, its options and an instance."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from vfs.errors import error
from vfs.filesystem import FilesystemType
from vfs.fs.attribute import keep_attributes
from vfs.fs.devpts.terminal import MasterFile, Slave
from vfs.fs.static import StaticFile, StaticFilesystem, Synthetic, parse_number, refused
from vfs.options import MountOptions, mount_data

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.file import File
    from vfs.mount import VirtualDentry
    from vfs.options import SetStat
    from vfs.virtual_filesystem import VirtualFilesystem

_MAGIC: Final = 0x1CD1
_MAX_TERMINALS: Final = 1 << 20
_PTMX_INO: Final = 2
_PTMX_RDEV: Final = os.makedev(5, 2)
_BASES: Final = {"uid": 10, "gid": 10, "mode": 8, "ptmxmode": 8, "max": 10}


class DevptsFilesystem(StaticFilesystem):
    """One instance. Slaves vanish with their masters, so that names are asked for anew."""

    revalidates = True

    def __init__(self, vfs: VirtualFilesystem, values: dict[str, int]) -> None:
        super().__init__(vfs, "devpts", magic=_MAGIC, mode=0o755, options=_shown(values), whole=True)
        self._values = values
        self._used: set[int] = set()
        self.directory.entries["ptmx"] = Ptmx(self, values.get("ptmxmode", 0))

    def new_terminal(self, creds: Credentials) -> Slave:
        """A slave under the lowest free number, of the opener unless the options say whose.

        Errors: ENOSPC beyond max= (devpts_new_index).
        """
        values = self._values
        index = next(number for number in range(len(self._used) + 1) if number not in self._used)
        if index >= values.get("max", _MAX_TERMINALS):
            raise error(errno.ENOSPC)
        uid, gid = values.get("uid", creds.uid), values.get("gid", creds.gid)
        slave = Slave(self, index, values.get("mode", 0o600), uid, gid)
        self._used.add(index)
        self.directory.entries[str(index)] = slave
        return slave

    def forget(self, slave: Slave) -> None:
        """Take a slave's name away when its master is gone, and its number when nobody has it open either."""
        if slave.nlink:
            del self.directory.entries[str(slave.index)]
            slave.nlink = 0
        if not slave.opened:
            self._used.discard(slave.index)


class Ptmx(StaticFile):
    """The file that makes terminals."""

    __slots__ = ()

    fs: DevptsFilesystem  # type: ignore[mutable-override]  # an inode never changes its file system

    def __init__(self, fs: DevptsFilesystem, mode: int) -> None:
        super().__init__(fs, _PTMX_INO, Synthetic(stat.S_IFCHR | mode, rdev=_PTMX_RDEV))

    def set_stat(self, changes: SetStat) -> None:
        """See `keep_attributes`."""
        keep_attributes(self, changes)

    def open(self, location: VirtualDentry, flags: int, creds: Credentials) -> File:
        """Errors: ENOSPC."""
        return MasterFile(location, flags, creds, self.fs.new_terminal(creds))


class DevptsType(FilesystemType):
    """Registers as "devpts"."""

    name = "devpts"

    def get_filesystem(
        self, vfs: VirtualFilesystem, creds: Credentials, source: str, options: MountOptions
    ) -> StaticFilesystem:
        """Errors: EINVAL."""
        return DevptsFilesystem(vfs, _parse(options.data))


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
