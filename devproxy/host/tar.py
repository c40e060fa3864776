"""Reading a tar file that may have been made to do harm (POSIX.1-2017 pax, "ustar Interchange Format").

Not the standard library's tarfile, for two reasons: it is made to save what it can of a damaged archive, where a
recording has to be whole or refused; and importing it takes longer than probing a recorded host. Nothing is written to
disk here, and every member's size is compared with what is really there before anything is believed.
"""

from __future__ import annotations

import stat

from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from typing import Final

BLOCK: Final = 512

_REGULAR: Final = ("0", "\0")
_FORMATS: Final = {
    **dict.fromkeys(_REGULAR, stat.S_IFREG),
    "2": stat.S_IFLNK,
    "3": stat.S_IFCHR,
    "4": stat.S_IFBLK,
    "5": stat.S_IFDIR,
}
_REFUSED: Final = {"1": "a hard link", "6": "a fifo", "7": "a contiguous file", "g": "a global header", "S": "sparse"}
# Headers that say something of the next members, or of all.
_ABOUT_OTHERS: Final = frozenset("xgLKX")
# Two paths and a few numbers.
_MOST_EXTENDED: Final = 1 << 16
_ENCODING: Final = ("utf-8", "surrogateescape")


class TarError(Exception):
    """The file is no tar, is damaged, or has a member of a kind that is not taken. `member` may be empty."""

    def __init__(self, member: str, problem: str) -> None:
        super().__init__(problem)
        self.member = member
        self.problem = problem


class Member(Record):
    """One member. `mode` includes the type, as in stat(2); `link` is a symbolic link's target."""

    name: str
    mode: int
    uid: int
    gid: int
    mtime: int
    major: int
    minor: int
    link: str
    data: bytes


def read_members(archive: bytes, *, known: Collection[str] = ()) -> Iterator[Member]:
    """The members in their order. With `known`, the top directories and files whose members have to be of a known type, one of
    any other type elsewhere is passed over: its `mode` is 0.

    Raises:
        TarError: at the first thing that is wrong; a tar that ends without its two empty blocks was cut off.
    """
    offset = 0
    extended: dict[str, str] = {}
    while any(header := _block(archive, offset)):
        _check_sum(header, offset)
        kind = chr(header[156])
        name = extended.get("path", _name(header))
        size = _number(header[124:136], name, "size")
        passed_over = (
            known and kind not in _FORMATS and kind not in _ABOUT_OTHERS and name.partition("/")[0] not in known
        )
        if size and kind not in (*_REGULAR, "x") and not passed_over:
            raise TarError(name, f"has {size} bytes of data, expected none in a member of type {kind!r}")
        data = archive[offset + BLOCK : offset + BLOCK + size]
        if len(data) != size:
            raise TarError(name, f"has {len(data)} bytes of data, its header says {size}: the file was cut off")
        offset += BLOCK + -(-size // BLOCK) * BLOCK
        if kind == "x":
            extended = _extended(data, name)
            continue
        if passed_over:
            extended = {}
            yield Member(name, 0, 0, 0, 0, 0, 0, "", b"")
            continue
        yield _member(header, kind, name, data, extended)
        extended = {}
    if extended or archive[offset:].strip(b"\0") or len(archive) - offset < 2 * BLOCK:
        raise TarError("", f"does not end where its end is marked, at byte {offset}")


def _block(archive: bytes, offset: int) -> bytes:
    header = archive[offset : offset + BLOCK]
    if len(header) != BLOCK:
        raise TarError("", f"ends at byte {len(archive)} without the mark of its end: it is no tar, or was cut off")
    return header


def _check_sum(header: bytes, offset: int) -> None:
    if header[257:262] != b"ustar":
        raise TarError("", f"has no tar header at byte {offset}")
    found = sum(header) - sum(header[148:156]) + 8 * ord(" ")
    if found != _number(header[148:156], "", "checksum"):
        raise TarError("", f"has a damaged header at byte {offset}: its checksum is wrong")


def _member(header: bytes, kind: str, name: str, data: bytes, extended: dict[str, str]) -> Member:
    if kind not in _FORMATS:
        raise TarError(name, f"is {_REFUSED.get(kind, f'of the unknown type {kind!r}')}, which no recording has")

    def number(field: str, start: int, end: int) -> int:
        if field in extended:
            return _decimal(extended[field], name, field)
        return _number(header[start:end], name, field)

    return Member(
        name=name,
        mode=_FORMATS[kind] | stat.S_IMODE(number("mode", 100, 108)),
        uid=number("uid", 108, 116),
        gid=number("gid", 116, 124),
        mtime=_number(header[136:148], name, "mtime"),
        major=number("major", 329, 337) if kind in "34" else 0,
        minor=number("minor", 337, 345) if kind in "34" else 0,
        link=extended.get("linkpath", _text(header[157:257])) if kind == "2" else "",
        data=data,
    )


def _name(header: bytes) -> str:
    # A GNU header keeps times where ustar keeps the first part of a long name.
    prefix = _text(header[345:500]) if header[257:265] == b"ustar\x0000" else ""
    name = _text(header[:100])
    return f"{prefix}/{name}" if prefix else name


def _extended(data: bytes, name: str) -> dict[str, str]:
    """The records of a pax header, `length key=value` each; only what can replace a field that is too narrow."""
    if len(data) > _MOST_EXTENDED:
        raise TarError(name, f"has {len(data)} bytes of pax records, a recording at most {_MOST_EXTENDED}")
    records = {}
    while data:
        length = _decimal(data[:10].partition(b" ")[0].decode("latin-1"), name, "length of a pax record")
        record, data = data[:length], data[length:]
        key, equals, value = record.partition(b" ")[2].removesuffix(b"\n").partition(b"=")
        if len(record) != length or not equals or not record.endswith(b"\n"):
            raise TarError(name, "has a damaged pax record")
        records[key.decode(*_ENCODING)] = value.decode(*_ENCODING)
    unknown = records.keys() - {"path", "linkpath", "uid", "gid", "hdrcharset"}
    if unknown or any("\0" in value for value in records.values()):
        raise TarError(name, f"has pax records that no recording has: {sorted(unknown)}")
    return records


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode(*_ENCODING)


def _number(field: bytes, name: str, what: str) -> int:
    text = field.strip(b" \0")
    if not all(digit in b"01234567" for digit in text):
        raise TarError(name, f"has the {what} {text!r}, expected an octal number")
    return int(text or b"0", 8)


def _decimal(text: str, name: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise TarError(name, f"has the {what} {text!r}, expected a number")
    return int(text)
