"""Who a process is to the kernel: it takes on the credentials of one of `ACTORS` after the other."""

from __future__ import annotations

import ctypes
import os
import struct

from tests.differential.vfs.programs import ACTORS
from vfs.credentials import ALL_CAPABILITIES, Capability

libc = ctypes.CDLL(None, use_errno=True)

CAPABILITY_NUMBERS = {
    Capability.CHOWN: 0,
    Capability.DAC_OVERRIDE: 1,
    Capability.DAC_READ_SEARCH: 2,
    Capability.FOWNER: 3,
    Capability.FSETID: 4,
    Capability.SYS_ADMIN: 21,
    Capability.MKNOD: 27,
    Capability.SETFCAP: 31,
}
"""include/uapi/linux/capability.h."""
_CAPABILITY_HEADER = struct.pack("=Ii", 0x20080522, 0)


def _bits(capabilities: Capability) -> int:
    if capabilities == ALL_CAPABILITIES:
        return -1
    return sum(1 << number for capability, number in CAPABILITY_NUMBERS.items() if capability in capabilities)


class Credentials:
    """The credentials of this process. The real ids stay root's, and with them the way back."""

    def __init__(self) -> None:
        data = (ctypes.c_uint32 * 6)()
        check(libc.capget(_CAPABILITY_HEADER, data))
        permitted = data[1] | data[4] << 32
        self.full = self.data(permitted, permitted)
        self.of = {who: self.data(permitted, permitted & _bits(actor.capabilities)) for who, actor in ACTORS.items()}
        self.who = "root"

    @staticmethod
    def data(permitted: int, effective: int) -> bytes:
        low = (1 << 32) - 1
        return struct.pack("=6I", effective & low, permitted & low, 0, effective >> 32, permitted >> 32, 0)

    def become(self, who: str) -> None:
        """Take on those of one of `ACTORS`."""
        if who == self.who:
            return
        actor = ACTORS[who]
        check(libc.capset(_CAPABILITY_HEADER, self.full))
        os.setgroups(actor.groups)
        os.setresgid(-1, actor.uid, -1)
        os.setresuid(-1, actor.uid, -1)
        # A change of the effective id has changed the effective capabilities, too.
        check(libc.capset(_CAPABILITY_HEADER, self.of[who]))
        self.who = who


def check(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
