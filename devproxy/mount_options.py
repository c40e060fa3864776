"""Mount options as typed values: what `ro,nosuid,mode=0755,rslave` means (runtime-spec config.md, "Linux mount
options").

The attribute values are those of mount_setattr(2), so that a target hands them to the kernel as they are.
"""

from __future__ import annotations

from devproxy.choice import Choice, Flags
from devproxy.record import Record


class Attribute(Flags):
    """Attributes of one mount (MOUNT_ATTR_*, include/uapi/linux/mount.h). Relative atime is the absence of the other
    two.
    """

    RDONLY = 0x1
    NOSUID = 0x2
    NODEV = 0x4
    NOEXEC = 0x8
    NOATIME = 0x10
    STRICTATIME = 0x20
    NODIRATIME = 0x80
    NOSYMFOLLOW = 0x200000


NO_ATTRIBUTES = Attribute(0)
# One field of three values in mount_setattr(2): whoever changes it clears it whole.
ATIME = 0x70


class Change(Record):
    """Attributes to set and to clear. `atime` says that the atime field is named at all (also by `relatime`, whose
    value is 0).
    """

    set: Attribute = NO_ATTRIBUTES
    clear: Attribute = NO_ATTRIBUTES
    atime: bool = False

    def __bool__(self) -> bool:
        return bool(self.set or self.clear or self.atime)


NO_CHANGE = Change()


class Propagation(Choice):
    """How mount events travel (mount_namespaces(7)); the value is the OCI option without its `r`."""

    SHARED = "shared"
    SLAVE = "slave"
    PRIVATE = "private"
    UNBINDABLE = "unbindable"


class MountOptions(Record):
    """The options of one mount, parsed.

    `change` applies to the mount itself, `recursive` to it and everything below (rro and its kin). `superblock` are
    flags of the file system (sync, dirsync, mand, lazytime). `propagation` keeps its order; the bool
    means recursive. `data` is what is left, for the file system: `size=64k`, `newinstance`.
    """

    bind: bool = False
    recursive_bind: bool = False
    change: Change = Change()
    recursive: Change = Change()
    superblock: tuple[str, ...] = ()
    propagation: tuple[tuple[Propagation, bool], ...] = ()
    data: tuple[str, ...] = ()
