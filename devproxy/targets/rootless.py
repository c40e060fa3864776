"""What a root lacks that is built without privileges: one rule for every target.

Without CAP_SYS_ADMIN a root is built in a user namespace (user_namespaces(7)) that maps one user and one group: the
caller, who is root inside. Nothing of another owner can be made there, no device node either, and of the host's mounts
no flag can be taken away (mount_namespaces(7), "Restrictions on mount namespaces").
"""

from __future__ import annotations

import errno
import os
import stat

from devproxy.linux.mountinfo import parse_line
from devproxy.mount_options import ATIME, Attribute, Change
from devproxy.node import DeviceNumber, NodeKind, number_of_rdev
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# What an owner that is not mapped shows as (/proc/sys/kernel/overflowuid).
OVERFLOW: Final = 65534

_NEEDS: Final = {"proc": "pid", "sysfs": "network", "mqueue": "ipc", "cgroup": "cgroup", "cgroup2": "cgroup"}
_FORMATS: Final = {NodeKind.CHARACTER: stat.S_IFCHR, NodeKind.BLOCK: stat.S_IFBLK}
_BY_NUMBER: Final = {NodeKind.CHARACTER: "/dev/char", NodeKind.BLOCK: "/dev/block"}
_LOCKED: Final = Attribute.RDONLY | Attribute.NOSUID | Attribute.NODEV | Attribute.NOEXEC
_ATIME: Final = Attribute(ATIME) | Attribute.NODIRATIME
# statvfs(3).
_SEEN: Final = (
    (os.ST_RDONLY, Attribute.RDONLY),
    (os.ST_NOSUID, Attribute.NOSUID),
    (os.ST_NODEV, Attribute.NODEV),
    (os.ST_NOEXEC, Attribute.NOEXEC),
    (os.ST_NOATIME, Attribute.NOATIME),
    (os.ST_NODIRATIME, Attribute.NODIRATIME),
)


class Rootless(Record):
    """A builder without privileges: the caller's user and group as the host sees them (0 inside), the namespaces that it
    made, and the file system types that were refused to it, each with the reason.
    """

    uid: int
    gid: int
    namespaces: frozenset[str]
    refused: dict[str, str]

    def seen(self, uid: int, gid: int) -> tuple[int, int]:
        """How an owner of the host shows inside."""
        return 0 if uid == self.uid else OVERFLOW, 0 if gid == self.gid else OVERFLOW

    def refuse(self, fstype: str) -> OSError:
        """The error for a type that cannot be mounted; it is remembered why."""
        if fstype not in self.refused:
            self.refused[fstype] = self._why_refused(fstype)
        return PermissionError(errno.EPERM, self.refused[fstype], fstype)

    def _why_refused(self, fstype: str) -> str:
        needed = _NEEDS.get(fstype)
        if needed is None:
            return f"without root {fstype} cannot be mounted"
        if needed not in self.namespaces:
            return f"without root {fstype} needs a new {needed} namespace, and linux.namespaces asks for none"
        where = "/sys" if fstype == "sysfs" else "/proc"
        return f"without root a new {fstype} is refused where parts of the host's {where} are hidden, as in a container"


def without_owners(data: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """The options of a file system but for owners that are not mapped (`gid=5`), and what was left out, in words."""
    out = [word for word in data if word.partition("=")[0] in ("uid", "gid") and word.partition("=")[2].strip("0")]
    kept = tuple(word for word in data if word not in out)
    return kept, f"without {', '.join(out)}, which a rootless container cannot have" if out else ""


def attributes_of(descriptor: int) -> Attribute:
    """The attributes of the host's mount that a descriptor is on (fstatvfs(3))."""
    flags = os.fstatvfs(descriptor).f_flag
    seen = Attribute(0)
    for bit, attribute in _SEEN:
        if flags & bit:
            seen |= attribute
    relative = flags & os.ST_RELATIME or seen & Attribute.NOATIME
    return seen if relative else seen | Attribute.STRICTATIME


def allowed_change(change: Change, found: Attribute) -> tuple[Change, str]:
    """As much of a change as a mount of the host with these attributes takes, and what it keeps, in words.

    What is set can be set; what keeps the host's user out cannot be cleared, and how access times are kept is the host's.
    """
    keeps = change.clear & _LOCKED & found & ~change.set
    allowed = change._replace(clear=change.clear & ~keeps)
    if _atime_after(change, found) != found & _ATIME:
        keeps |= found & _ATIME
        allowed = Change(allowed.set & ~_ATIME, allowed.clear & ~_ATIME)
        return allowed, f"keeps {_words(keeps) or 'relatime'} of the host's mount"
    return allowed, f"keeps {_words(keeps)} of the host's mount" if keeps else ""


def allowed_below(change: Change) -> tuple[Change, str]:
    """`allowed_change` for whatever the host has mounted below: nothing is cleared, access times stay."""
    allowed = Change(change.set & ~_ATIME)
    return allowed, "" if allowed == change else "keeps the flags of the host's mounts"


def _atime_after(change: Change, found: Attribute) -> Attribute:
    after = found & _ATIME
    if change.atime or change.set & ATIME:
        after = after & ~Attribute(ATIME) | change.set & Attribute(ATIME)
    return (after & ~change.clear) | (change.set & Attribute.NODIRATIME)


def _words(attributes: Attribute) -> str:
    names = [attribute for attribute in Attribute if attribute & attributes]
    return ", ".join("ro" if name is Attribute.RDONLY else str(name.name).lower() for name in names)


def has_mounts_below(path: str) -> bool:
    """Whether the host has mounts below a directory: without root they are not to be separated from it
    (mount_namespaces(7)).
    """
    above = os.path.realpath(path).rstrip("/") + "/"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        return any(parse_line(line).mount_point.startswith(above) for line in lines)


def open_host_node(path: str, kind: NodeKind, number: DeviceNumber) -> int:
    """The host's node of this kind and number (O_PATH: a device is not opened by it): the one at `path`, or else the one
    that udev lists by its number.

    Errors: ENXIO if the host has none; ENODEV if it has another device there.
    """
    other = ""
    for place in (path, f"{_BY_NUMBER[kind]}/{number}"):
        try:
            descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        found = os.fstat(descriptor)
        if stat.S_IFMT(found.st_mode) == _FORMATS[kind] and found.st_rdev == number.rdev:
            return descriptor
        os.close(descriptor)
        device = stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)
        other = other or (f"device {number_of_rdev(found.st_rdev)}" if device else "no device")
    if other:
        raise OSError(errno.ENODEV, f"the host's is {other}, without root only the host's can be shown", path)
    raise OSError(
        errno.ENXIO, f"the host has no {path} with number {number}, without root only the host's can be shown"
    )
