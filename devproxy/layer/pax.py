"""The headers of a tar file in pax format (POSIX.1-2017 pax, "pax Header Block" and "ustar Interchange Format")."""

from __future__ import annotations

from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

BLOCK: Final = 512
EXTENDED: Final = "x"
LONGEST_HEADER: Final = 1 << 22
"""More than a path and 64 KiB of each of many attributes need; a reader is not made to take in more."""

_NAME: Final = slice(0, 100)
_LINK: Final = slice(157, 257)
# What a field of octal digits with a NUL behind can hold.
_OCTAL7, _OCTAL11 = 0o7777777, 0o77777777777
_CHECKSUM: Final = slice(148, 156)


class DamagedError(Exception):
    """What is read is no tar file, or one that was cut off or changed. The text says what, and where."""


class Header(Record):
    """The fields of a header block. `name` and `link` are bytes as they stand there."""

    name: bytes
    type: str
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    link: bytes = b""
    major: int = 0
    minor: int = 0


def encode(header: Header) -> bytes:
    """The block. What a field cannot hold is 0 in it, or cut: a pax record tells it then (`overflow`)."""
    block = bytearray(BLOCK)
    block[_NAME] = header.name[:100].ljust(100, b"\0")
    for start, width, value in (
        (100, 7, header.mode),
        (108, 7, header.uid),
        (116, 7, header.gid),
        (124, 11, header.size),
        (136, 11, header.mtime),
        (329, 7, header.major),
        (337, 7, header.minor),
    ):
        fits = 0 <= value < 8**width
        block[start : start + width] = b"%0*o" % (width, value if fits else 0)
    block[156] = ord(header.type)
    block[_LINK] = header.link[:100].ljust(100, b"\0")
    block[257:265] = b"ustar\x0000"
    block[_CHECKSUM] = b"%06o\0 " % _sum(block)
    return bytes(block)


def overflow(header: Header) -> dict[str, bytes]:
    """The pax records for what does not fit into the header."""
    records: dict[str, bytes] = {}
    if len(header.name) > 100 or not header.name.isascii():
        records["path"] = header.name
    if len(header.link) > 100 or not header.link.isascii():
        records["linkpath"] = header.link
    for key, value, most in (
        ("uid", header.uid, _OCTAL7),
        ("gid", header.gid, _OCTAL7),
        ("size", header.size, _OCTAL11),
    ):
        if value > most:
            records[key] = b"%d" % value
    return records


def encode_records(records: Mapping[str, bytes], kind: str, name: str) -> bytes:
    """A pax header of `kind` with these records, whole blocks. Bytes that are no UTF-8 are announced (hdrcharset)."""
    if any(not _is_utf8(value) for value in records.values()):
        records = {"hdrcharset": b"BINARY", **records}
    data = b"".join(_record(key, value) for key, value in records.items())
    return encode(Header(name.encode(), kind, 0o644, size=len(data))) + data + padding(len(data))


def _record(key: str, value: bytes) -> bytes:
    text = b" " + key.encode() + b"=" + value + b"\n"
    length = len(text) + 1
    while len(b"%d" % length) + len(text) != length:
        length = len(b"%d" % length) + len(text)
    return b"%d" % length + text


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def padding(size: int) -> bytes:
    """What fills the last block."""
    return bytes(-size % BLOCK)


def decode(block: bytes, at: int) -> Header:
    """The header in a block that lies at byte `at`. Raises DamagedError."""
    if block[257:265] != b"ustar\x0000":
        raise DamagedError(f"has no tar header at byte {at}")
    if _octal(block[_CHECKSUM], at) != _sum(block):
        raise DamagedError(f"has a damaged header at byte {at}: its checksum is wrong")
    return Header(
        name=_until_nul(block[_NAME]),
        type=chr(block[156]),
        mode=_octal(block[100:108], at),
        uid=_octal(block[108:116], at),
        gid=_octal(block[116:124], at),
        size=_octal(block[124:136], at),
        mtime=_octal(block[136:148], at),
        link=_until_nul(block[_LINK]),
        major=_octal(block[329:337], at),
        minor=_octal(block[337:345], at),
    )


def decode_records(data: bytes, at: int) -> dict[str, bytes]:
    """The records of a pax header, `length key=value` each. Raises DamagedError; a key may be there once."""
    records: dict[str, bytes] = {}
    start = 0
    while start < len(data):
        space = data.find(b" ", start, start + 8)
        digits = data[start:space] if space > 0 else b""
        length = int(digits) if digits.isdigit() else 0
        record = data[space + 1 : start + length]
        key, equals, value = record.partition(b"=")
        if start + length > len(data) or not equals or not record.endswith(b"\n") or not key.isascii():
            raise DamagedError(f"has a damaged pax record at byte {at + start}")
        if key.decode() in records:
            raise DamagedError(f"has the pax record {key.decode()} twice at byte {at + start}")
        records[key.decode()] = value[:-1]
        start += length
    return records


def _sum(block: bytes | bytearray) -> int:
    return sum(block) - sum(block[_CHECKSUM]) + 8 * ord(" ")


def _octal(field: bytes, at: int) -> int:
    text = field.strip(b" \0")
    if not all(digit in b"01234567" for digit in text):
        raise DamagedError(f"has {text!r} where a number should be, in the header at byte {at}")
    return int(text or b"0", 8)


def _until_nul(field: bytes) -> bytes:
    return field.partition(b"\0")[0]
