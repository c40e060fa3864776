"""Capabilities of this process (capabilities(7)), as sets of numbers."""

from __future__ import annotations

import errno
import struct

from devproxy.linux.foreign import create_string_buffer
from devproxy.linux.process import prctl
from devproxy.linux.syscalls import check, libc
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable
    from typing import Final

# In the order of their numbers (include/uapi/linux/capability.h).
NAMES: Final = (
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID"),
    *("CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST"),
    *("CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO"),
    *("CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE"),
    *("CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE"),
    *("CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM"),
    *("CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE"),
)
NUMBERS: Final = {name: number for number, name in enumerate(NAMES)}

_PR_CAPBSET_READ, _PR_CAPBSET_DROP = 23, 24
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 2, 4
# _LINUX_CAPABILITY_VERSION_3, and the process itself.
_HEADER = struct.Struct("=Ii").pack(0x20080522, 0)
_DATA = struct.Struct("=6I")


class Sets(Record):
    """The three sets of capset(2), as bit masks."""

    effective: int
    permitted: int
    inheritable: int


def mask(numbers: Iterable[int]) -> int:
    """The bit mask of some capabilities."""
    return sum(1 << number for number in set(numbers))


def capget() -> Sets:
    """The capabilities that this process has (capget(2))."""
    data = create_string_buffer(_DATA.size)
    check(libc.capget(_HEADER, data))
    low = _DATA.unpack(data.raw)
    return Sets(*(low[index] | low[index + 3] << 32 for index in range(3)))


def capset(sets: Sets) -> None:
    """Set the capabilities of this process (capset(2)). Errors: EPERM for one that is not permitted."""
    low = [value & 0xFFFFFFFF for value in sets]
    high = [value >> 32 for value in sets]
    check(libc.capset(_HEADER, _DATA.pack(*low, *high)))


def limit_bounding(kept: Container[int]) -> None:
    """Take every other capability out of the bounding set, of what exec may ever give, for ever (prctl(2),
    PR_CAPBSET_DROP). Errors: EPERM without CAP_SETPCAP, if one of them is in it.
    """
    for number in range(64):
        if number in kept:
            continue
        try:
            prctl(_PR_CAPBSET_DROP, number)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return  # the kernel knows no more
            if error.errno != errno.EPERM or prctl(_PR_CAPBSET_READ, number):
                raise


def set_ambient(numbers: Iterable[int]) -> None:
    """Set the ambient set (prctl(2), PR_CAP_AMBIENT). Errors: EPERM for one that is not permitted and inheritable."""
    prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    for number in numbers:
        prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number)
