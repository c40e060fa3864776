"""The loader that an ELF file asks for (elf(5), PT_INTERP): the kernel opens it with the rights of exec, by its path."""

from __future__ import annotations

import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MAGIC: Final = b"\x7fELF"
_PT_INTERP: Final = 3
_LONGEST: Final = 4096  # fs/binfmt_elf.c refuses a name of more than PATH_MAX
_MOST_HEADERS: Final = 65536  # and program headers of more bytes
# By EI_CLASS: how the header says where the program headers are, at which byte, at which byte it says how many, and the shape of
# one of them.
_CLASSES: Final = {
    1: (struct.Struct("=I"), 28, 44, struct.Struct("=IIIII12x")),
    2: (struct.Struct("=Q"), 32, 56, struct.Struct("=IIQQQQ16x")),
}


def loader_of(descriptor: int, start: bytes) -> str:
    """The path of the loader, "" without one. `start` is what the file begins with; the rest is read where it is needed.
    What is no program for the kernel has none either.
    """
    shape = _CLASSES.get(start[4] if len(start) > 64 else 0)
    if shape is None:
        return ""
    where, at, count_at, header = shape
    offset = where.unpack_from(start, at)[0]
    size = header.size * int.from_bytes(start[count_at : count_at + 2], "little")
    if size > _MOST_HEADERS:
        return ""
    headers = _slice(descriptor, start, offset, size)
    for fields in header.iter_unpack(headers[: len(headers) // header.size * header.size]):
        if fields[0] == _PT_INTERP:
            place, length = (fields[1], fields[4]) if header.size == 32 else (fields[2], fields[5])
            name = _slice(descriptor, start, place, min(length, _LONGEST))
            return os.fsdecode(name.split(b"\0", 1)[0])
    return ""


def _slice(descriptor: int, start: bytes, offset: int, size: int) -> bytes:
    if offset + size <= len(start):
        return start[offset : offset + size]
    try:
        return os.pread(descriptor, size, offset)
    except (OSError, OverflowError):
        return b""
