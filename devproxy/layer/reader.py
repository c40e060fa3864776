"""A layer that devproxy wrote, read again: whole and unchanged, or not at all.

Only what `writer` writes is taken. The file may have been made to do harm: nothing is believed before it was compared with what is
really there, and what an entry may say is for `check`.
"""

from __future__ import annotations

import hashlib
import json
import os

from devproxy.layer.entry import Entry, Extent, Kind
from devproxy.layer.pax import (
    BLOCK,
    EXTENDED,
    LONGEST_HEADER,
    DamagedError,
    Header,
    decode,
    decode_records,
)
from devproxy.layer.writer import COMMENT, MAGIC, NO_SEAL, XATTR, seal
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

_CHUNK: Final = 1 << 20
_LONGEST_MAP: Final = 1 << 24
_KNOWN: Final = {"path", "linkpath", "uid", "gid", "size", "mtime", "hdrcharset"}
_SPARSE: Final = {"GNU.sparse.major", "GNU.sparse.minor", "GNU.sparse.name", "GNU.sparse.realsize"}
_DIGITS: Final = 19


class Layer(Record):
    """What is in the file: the description that was given to the writer, and the entries in their order."""

    description: dict[str, Any]
    entries: tuple[Entry, ...]


def read_layer(descriptor: int) -> Layer:
    """Read a layer from an open file. The data stay there, for the extents of the entries.

    Raises:
        DamagedError: it is no layer of devproxy's, was cut off or changed.
    """
    return _Reader(descriptor).read()


class _Front(Record):
    """The comment in the first pax header: a checksum, the number of entries, the description."""

    sealed: bytes
    entries: bytes
    description: bytes


class _Reader:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size

    def read(self) -> Layer:
        front, records, begin = self._front()
        header, offset = self._header(begin)
        entry, offset = self._entry(header, records, offset)
        entries = [entry]
        while not self._is_end(offset):
            header, offset = self._header(offset)
            records = {}
            if header.type == EXTENDED:
                records = decode_records(self._data(header, offset, LONGEST_HEADER), offset)
                header, offset = self._header(offset + _blocks(header.size))
            entry, offset = self._entry(header, records, offset)
            entries.append(entry)
        self._check_seal(front, begin, len(entries))
        return Layer(_description(front.description), tuple(entries))

    def _front(self) -> tuple[_Front, dict[str, bytes], int]:
        """What the comment in the first pax header says, that header's other records, and where it ends."""
        foreign = DamagedError("is no file that devproxy saved: it does not begin as those do")
        try:
            header, offset = self._header(0)
        except DamagedError:
            raise foreign from None
        if header.type != EXTENDED:
            raise foreign
        records = decode_records(self._data(header, offset, LONGEST_HEADER), offset)
        words = records.pop(COMMENT, b"").split(b" ", 3)
        if len(words) != 4 or words[0] != MAGIC or len(words[1]) != len(NO_SEAL):
            raise foreign
        return _Front(*words[1:]), records, offset + _blocks(header.size)

    def _header(self, at: int) -> tuple[Header, int]:
        block = os.pread(self._descriptor, BLOCK, at)
        if len(block) < BLOCK or not any(block):
            raise DamagedError(f"ends at byte {at} without its end: it was cut off, or is still being written")
        return decode(block, at), at + BLOCK

    def _data(self, header: Header, at: int, most: int) -> bytes:
        if header.size > most:
            raise DamagedError(f"has a pax header of {header.size} bytes at byte {at}, at most {most} are taken")
        self._require(at, header.size)
        return os.pread(self._descriptor, header.size, at)

    def _require(self, at: int, length: int) -> None:
        if length > self._size - at:
            raise DamagedError(f"was cut off: of {length} bytes at byte {at} there are {max(self._size - at, 0)}")

    def _is_end(self, at: int) -> bool:
        """Whether the two empty blocks are here that end a tar file. Nothing comes behind."""
        block = os.pread(self._descriptor, BLOCK, at)
        if any(block) or len(block) < BLOCK:
            return False
        if os.pread(self._descriptor, 2 * BLOCK + 1, at) != bytes(2 * BLOCK):
            raise DamagedError(
                f"does not end where its end is marked, at byte {at}: it was cut off, or something was added"
            )
        return True

    def _check_seal(self, front: _Front, begin: int, entries: int) -> None:
        """The first header says how many entries there are, and what the whole file comes to."""
        digest = hashlib.sha256()
        for start in range(begin, self._size, _CHUNK):
            digest.update(os.pread(self._descriptor, _CHUNK, start))
        plain = os.pread(self._descriptor, begin, 0).replace(front.sealed, NO_SEAL, 1)
        if front.entries != b"%020d" % entries or front.sealed != seal(digest, plain):
            raise DamagedError("was changed since it was saved, or was not saved to its end: its checksum is wrong")

    def _entry(self, header: Header, records: dict[str, bytes], at: int) -> tuple[Entry, int]:
        """An entry whose data begin at byte `at`, and where the next header is."""
        sparse = "GNU.sparse.major" in records
        strange = {key for key in records.keys() - _KNOWN if not key.startswith(XATTR)} - (_SPARSE if sparse else set())
        if strange:
            raise DamagedError(f"has the pax records {sorted(strange)} before byte {at}, which devproxy does not write")
        try:
            kind = Kind(header.type)
        except ValueError:
            raise DamagedError(f"has an entry of the unknown type {header.type!r} before byte {at}") from None
        stored = _number(records.get("size"), header.size, at)
        if stored and kind is not Kind.FILE:
            raise DamagedError(f"has an entry of type {header.type!r} with {stored} bytes of data before byte {at}")
        self._require(at, _blocks(stored))
        size = stored
        extents: tuple[Extent, ...] = (Extent(0, at, stored),) if stored else ()
        name = records.get("path", header.name)
        if sparse:
            name = records.get("GNU.sparse.name", b"")
            size, extents = self._sparse(records, at, stored)
        link = records.get("linkpath", header.link)
        return Entry(
            path=_path(name, kind),
            kind=kind,
            mode=header.mode,
            uid=_number(records.get("uid"), header.uid, at),
            gid=_number(records.get("gid"), header.gid, at),
            mtime_ns=_time(records["mtime"], at) if "mtime" in records else header.mtime * 10**9,
            size=size,
            link=_path(link, kind) if kind is Kind.HARD_LINK else _text(link),
            major=header.major,
            minor=header.minor,
            xattrs=tuple((key.removeprefix(XATTR), records[key]) for key in records if key.startswith(XATTR)),
            extents=extents,
        ), at + _blocks(stored)

    def _sparse(self, records: dict[str, bytes], at: int, stored: int) -> tuple[int, tuple[Extent, ...]]:
        """The map in front of a sparse file's data: how many pieces, then offset and length of each, one a line."""
        wrong = DamagedError(f"has a sparse file with a wrong map at byte {at}")
        if records["GNU.sparse.major"] != b"1" or records.get("GNU.sparse.minor") != b"0":
            raise wrong
        size = _number(records.get("GNU.sparse.realsize"), -1, at)
        text = os.pread(self._descriptor, min(stored, _LONGEST_MAP), at)
        count, start = _line(text, 0, wrong)
        extents, position, numbers = [], 0, []
        for _ in range(min(2 * count, len(text))):
            number, start = _line(text, start, wrong)
            numbers.append(number)
        where = at + _blocks(start)
        for offset, length in zip(numbers[::2], numbers[1::2], strict=False):
            if offset < position or offset + length > size:
                raise wrong
            position = offset + length
            if length:
                extents.append(Extent(offset, where, length))
            where += length
        if len(numbers) != 2 * count or where != at + stored:
            raise wrong
        return size, tuple(extents)


def _description(text: bytes) -> dict[str, Any]:
    try:
        description = json.loads(text)
    except (ValueError, RecursionError):
        raise DamagedError("has a description that is no JSON") from None
    if not isinstance(description, dict):
        raise DamagedError("has a description that is no JSON object")
    return description


def _blocks(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _line(text: bytes, start: int, wrong: DamagedError) -> tuple[int, int]:
    end = text.find(b"\n", start, start + _DIGITS + 1)
    digits = text[start:end]
    if end < 0 or not digits.isdigit():
        raise wrong
    return int(digits), end + 1


def _number(record: bytes | None, field: int, at: int) -> int:
    if record is None:
        return field
    if not record.isdigit() or len(record) > _DIGITS:
        raise DamagedError(f"has {record[:40]!r} where a number should be, before byte {at}")
    return int(record)


def _time(record: bytes, at: int) -> int:
    seconds, point, fraction = record.removeprefix(b"-").partition(b".")
    if not seconds.isdigit() or len(seconds) > 11 or (point and not fraction.isdigit()) or len(fraction) > 9:
        raise DamagedError(f"has the time {record[:40]!r} before byte {at}")
    value = int(seconds) * 10**9 + int(fraction.ljust(9, b"0") or b"0")
    return -value if record.startswith(b"-") else value


def _path(name: bytes, kind: Kind) -> str:
    """`./a/b` is a/b, as devproxy writes it. What is not written so stays as it is, for `check` to refuse."""
    text = _text(name)
    if kind is Kind.DIRECTORY and len(text) > 2:
        text = text.removesuffix("/")
    return text[2:] if text.startswith("./") else f"/{text}"


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
