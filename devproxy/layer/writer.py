"""A layer as it is written: entries in pax format, and, in a comment of the first one's pax header, by what devproxy knows its own file
again. Other tools pass over comments; a global header, or records of ours, some of them do not take.
"""

from __future__ import annotations

import hashlib
import json
import os

from devproxy.layer.entry import Entry, Kind
from devproxy.layer.pax import BLOCK, EXTENDED, Header, encode, encode_records, overflow, padding
from devproxy.layer.tree import TreeFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO, Any, Final

COMMENT: Final = "comment"
MAGIC: Final = b"devproxy-save"
XATTR: Final = "SCHILY.xattr."

NO_SEAL: Final = b"0" * 64
_CHUNK: Final = 1 << 20
# Below that a map of the holes is not worth what it costs the reader.
_HOLES: Final = 1 << 16
_SECOND: Final = 10**9


class LayerWriter:
    """Writes one layer to a file that is open for writing. The same entries give the same bytes."""

    def __init__(self, file: IO[bytes], description: Mapping[str, Any]) -> None:
        """`description` is JSON, and what `reader.read_layer` gives back."""
        self._file = file
        self._digest = hashlib.sha256()
        self.entries = 0
        self.size = 0
        self._description = json.dumps(description, sort_keys=True, separators=(",", ":")).encode()
        self._first: dict[str, bytes] = {}

    def add(self, entry: Entry, content: TreeFile | None = None) -> None:
        """Write an entry, and, of a file that is not empty, its content."""
        sparse = [] if content is None else _sparse(content)
        header, records = _header(entry)
        table = b""
        if sparse:
            table = b"".join(b"%d\n" % number for number in [len(sparse), *(n for piece in sparse for n in piece)])
            table += padding(len(table))
            records |= _sparse_records(entry, header)
            name = os.path.join("GNUSparseFile.0", entry.name).encode("utf-8", "surrogateescape")
            header = header._replace(name=name, size=len(table) + sum(length for _, length in sparse))
        records = overflow(header) | records
        if not self.entries:
            # What it says of the rest is known in the end, and has the same length then.
            self._first = records
            self._file.write(self._front(NO_SEAL))
            self.size = self._file.tell()
        elif records:
            self._put(encode_records(records, EXTENDED, f"PaxHeaders/{self.entries}"))
        self._put(encode(header) + table)
        if content is not None:
            pieces = sparse or [(0, entry.size)]
            for offset, length in pieces:
                self._copy(content, offset, length)
            self._put(padding(sum(length for _, length in pieces)))
        self.entries += 1

    def _copy(self, content: TreeFile, offset: int, length: int) -> None:
        while length:
            chunk = content.read(min(length, _CHUNK), offset)
            # What was cut off since it was looked at is zeros, so that the rest of the layer stands where it should.
            chunk = chunk or bytes(min(length, _CHUNK))
            self._put(chunk)
            offset, length = offset + len(chunk), length - len(chunk)

    def finish(self) -> None:
        """Write the end, and then the header in front. Nothing may be added any more. Precondition: there is an entry."""
        assert self.entries, "a layer without an entry has no place for its description"
        self._put(bytes(2 * BLOCK))
        self._file.seek(0)
        self._file.write(self._front(seal(self._digest, self._front(NO_SEAL))))

    def _front(self, sealed: bytes) -> bytes:
        comment = b" ".join((MAGIC, sealed, b"%020d" % self.entries, self._description))
        return encode_records({COMMENT: comment, **self._first}, EXTENDED, "PaxHeaders/0")

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self.size += len(data)


def seal(digest: hashlib._Hash, front: bytes) -> bytes:
    """The checksum of a file: of what is behind its first pax header, and of that with zeros where the checksum is."""
    digest.update(front)
    return digest.hexdigest().encode()


def _header(entry: Entry) -> tuple[Header, dict[str, bytes]]:
    """The header of an entry and the records that it always has: the time in full, attributes."""
    name = "./" + entry.path + ("/" if entry.kind is Kind.DIRECTORY and entry.path else "")
    link = f"./{entry.link}" if entry.kind is Kind.HARD_LINK else entry.link
    seconds, rest = divmod(entry.mtime_ns, _SECOND)
    header = Header(
        name=_bytes(name),
        type=entry.kind.value,
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        size=entry.size if entry.kind is Kind.FILE else 0,
        mtime=seconds,
        link=_bytes(link),
        major=entry.major,
        minor=entry.minor,
    )
    records = {}
    if rest or not 0 <= seconds < 8**11:
        records["mtime"] = time_text(entry.mtime_ns).encode()
    for key, value in entry.xattrs:
        records[XATTR + key] = value
    return header, records


def time_text(nanoseconds: int) -> str:
    """A time as pax has it: seconds, with a fraction where there is one. -1 ns is -0.000000001."""
    sign, (seconds, rest) = ("-" if nanoseconds < 0 else ""), divmod(abs(nanoseconds), _SECOND)
    return f"{sign}{seconds}" + (f".{rest:09d}".rstrip("0") if rest else "")


def _sparse(content: TreeFile) -> list[tuple[int, int]]:
    """Where a file with big holes has data, with an empty piece at its end if that is a hole; nothing for other files."""
    size, pieces = content.size, content.data()
    if size - sum(length for _, length in pieces) < _HOLES:
        return []
    ends = bool(pieces) and sum(pieces[-1]) == size
    return pieces if ends else [*pieces, (size, 0)]


def _sparse_records(entry: Entry, header: Header) -> dict[str, bytes]:
    """GNU's format 1.0 of sparse files, which libarchive, Go and Python read too (tar, "Storing Sparse Files")."""
    return {
        "GNU.sparse.major": b"1",
        "GNU.sparse.minor": b"0",
        "GNU.sparse.name": header.name,
        "GNU.sparse.realsize": b"%d" % entry.size,
    }


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
