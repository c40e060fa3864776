"""What a hostfs asks of the machine beyond what `os` offers (`vfs.fs.hostfs.calls.HostCalls`)."""

from __future__ import annotations

import struct

from devproxy.linux.foreign import c_longlong, create_string_buffer
from devproxy.linux.syscalls import AT_EMPTY_PATH, check, encode, libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_STATX_BTIME: Final = 0x800
# struct statx: stx_mask comes first, stx_btime (seconds, nanoseconds) at byte 80.
_SIZE: Final = 256
_MASK, _BTIME = struct.Struct("=I"), struct.Struct("=qI")
_BTIME_AT: Final = 80


class MachineCalls:
    """renameat2(2), fallocate(2) and statx(2) of the running kernel, by the process's own credentials."""

    __slots__ = ()

    def rename(self, directory: int, name: str, new_directory: int, new_name: str, flags: int) -> None:
        """See `HostCalls.rename`."""
        check(libc.renameat2(directory, encode(name), new_directory, encode(new_name), flags), name)

    def allocate(self, descriptor: int, mode: int, offset: int, length: int) -> None:
        """See `HostCalls.allocate`."""
        check(libc.fallocate(descriptor, mode, c_longlong(offset), c_longlong(length)))

    def birth_ns(self, descriptor: int) -> int | None:
        """See `HostCalls.birth_ns`."""
        found = create_string_buffer(_SIZE)
        check(libc.statx(descriptor, b"", AT_EMPTY_PATH, _STATX_BTIME, found))
        if not _MASK.unpack_from(found)[0] & _STATX_BTIME:
            return None
        seconds, nanoseconds = _BTIME.unpack_from(found, _BTIME_AT)
        return int(seconds * 1_000_000_000 + nanoseconds)
