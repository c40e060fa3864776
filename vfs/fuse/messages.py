"""What is of variable length in FUSE messages: names, entries with attributes, directory listings."""

from __future__ import annotations

import errno
import os
from typing import Final, NamedTuple

from vfs.errors import error
from vfs.fuse.records import ATTR, ATTR_OUT, DIRENT, ENTRY_OUT, Attr, AttrOut, EntryOut

ENTRY_SIZE: Final = ENTRY_OUT.size + ATTR.size
ATTR_REPLY_SIZE: Final = ATTR_OUT.size + ATTR.size
_LONGEST_NAME: Final = 1024
"""FUSE_NAME_MAX of fs/fuse/fuse_i.h."""


class Entry(NamedTuple):
    """The reply to a look-up."""

    out: EntryOut
    attr: Attr


class Listed(NamedTuple):
    """A name in a directory; `offset` is where the listing goes on after it, `type` the type bits of a mode."""

    ino: int
    offset: int
    type: int
    name: str


def strings(*texts: str) -> bytes:
    """Names as they travel: each ends with a NUL."""
    return b"".join(os.fsencode(text) + b"\0" for text in texts)


def split_strings(data: bytes, count: int) -> tuple[list[str], bytes]:
    """The `count` names that a message goes on with, and what comes after them.

    Errors: EIO if there are fewer.
    """
    *found, rest = data.split(b"\0", count)
    if len(found) != count:
        raise error(errno.EIO)
    return [os.fsdecode(text) for text in found], rest


def encode_device(rdev: int) -> int:
    """A device number as 32 bits (new_encode_dev of Linux)."""
    major, minor = os.major(rdev), os.minor(rdev)
    return (minor & 0xFF) | (major << 8) & 0xFFF00 | (minor & 0xFFF00) << 12


def decode_device(number: int) -> int:
    """The other way (new_decode_dev)."""
    return os.makedev((number & 0xFFF00) >> 8, number & 0xFF | (number >> 12) & 0xFFF00)


def pack_entry(out: EntryOut, attr: Attr) -> bytes:
    """The reply to a look-up."""
    return ENTRY_OUT.pack(*out) + ATTR.pack(*attr)


def unpack_entry(data: bytes, offset: int = 0) -> Entry:
    """The other way. Precondition: ENTRY_SIZE bytes are there."""
    return Entry(ENTRY_OUT.unpack(data, offset), ATTR.unpack(data, offset + ENTRY_OUT.size))


def pack_attributes(out: AttrOut, attr: Attr) -> bytes:
    """The reply to GETATTR and SETATTR."""
    return ATTR_OUT.pack(*out) + ATTR.pack(*attr)


def unpack_attributes(data: bytes) -> tuple[AttrOut, Attr]:
    """The other way. Precondition: ATTR_REPLY_SIZE bytes are there."""
    return ATTR_OUT.unpack(data), ATTR.unpack(data, ATTR_OUT.size)


def pack_listed(listed: Listed) -> bytes:
    """One record of a listing, padded to eight bytes."""
    name = os.fsencode(listed.name)
    head = DIRENT.pack(listed.ino, listed.offset, len(name), listed.type >> 12)
    return head + name + bytes(-len(name) % 8)


def unpack_listing(data: bytes) -> list[Listed]:
    """The records of a READDIR reply.

    Errors: EIO for a record that ends after the reply, and for a name that cannot be one.
    """
    found = []
    position = 0
    while position < len(data):
        listed, position = _unpack_listed(data, position)
        found.append(listed)
    return found


def unpack_listing_plus(data: bytes) -> list[tuple[Entry, Listed]]:
    """The records of a READDIRPLUS reply: each name behind its entry.

    Errors: as `unpack_listing`.
    """
    found = []
    position = 0
    while position < len(data):
        if position + ENTRY_SIZE > len(data):
            raise error(errno.EIO)
        entry = unpack_entry(data, position)
        listed, position = _unpack_listed(data, position + ENTRY_SIZE)
        found.append((entry, listed))
    return found


def _unpack_listed(data: bytes, position: int) -> tuple[Listed, int]:
    start = position + DIRENT.size
    if start > len(data):
        raise error(errno.EIO)
    ino, offset, length, kind = DIRENT.unpack(data, position)
    end = start + length
    if not 0 < length <= _LONGEST_NAME or end > len(data):
        raise error(errno.EIO)
    name = data[start:end]
    if b"/" in name or b"\0" in name:
        raise error(errno.EIO)
    # The last record may come without its padding.
    return Listed(ino, offset, (kind & 15) << 12, os.fsdecode(name)), min(end + -length % 8, len(data))
