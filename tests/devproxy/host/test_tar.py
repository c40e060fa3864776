"""The tar reader: the standard library's writer is the oracle for good archives, malice for bad ones."""

from __future__ import annotations

import io
import stat
import tarfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.host.tar import BLOCK, Member, TarError, read_members

TYPES = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
}


def written(*members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:  # noqa: A002
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format, encoding="utf-8") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def info(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = kind
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def members(archive: bytes) -> list[Member]:
    return list(read_members(archive))


def small() -> bytes:
    return written((info("one"), b"data"), (info("two", tarfile.CHRTYPE, devmajor=195, devminor=7), b""))


def resealed(archive: bytes, at: int, change: bytes) -> bytes:
    """The first header with other bytes at an offset, and a checksum that is right again."""
    header = bytearray(archive[:BLOCK])
    header[at : at + len(change)] = change
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + archive[BLOCK:]


NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=300).filter(
    lambda name: not name.endswith("/")
)


@st.composite
def infos(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    kind = draw(st.sampled_from(sorted(TYPES)))
    made = info(
        draw(NAMES),
        kind,
        mode=draw(st.integers(0, 0o7777)),
        uid=draw(st.integers(0, (1 << 32) - 1)),
        gid=draw(st.integers(0, (1 << 32) - 1)),
        mtime=draw(st.integers(0, (1 << 33) - 1)),
    )
    if kind == tarfile.SYMTYPE:
        made.linkname = draw(NAMES)
    if kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        made.devmajor, made.devminor = draw(st.integers(0, 4095)), draw(st.integers(0, (1 << 20) - 1))
    return made, draw(st.binary(max_size=1500)) if kind == tarfile.REGTYPE else b""


@pytest.mark.property
@given(st.lists(infos(), max_size=5))
def test_what_tarfile_writes_is_what_is_read(given: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    found = members(written(*given))
    assert found == [
        Member(
            name=made.name,
            mode=TYPES[made.type] | made.mode,
            uid=made.uid,
            gid=made.gid,
            mtime=int(made.mtime),
            major=made.devmajor,
            minor=made.devminor,
            link=made.linkname,
            data=data,
        )
        for made, data in given
    ]


@pytest.mark.property
@given(st.lists(infos(), min_size=1, max_size=3), st.data())
def test_an_archive_that_was_cut_off_is_refused(
    given: list[tuple[tarfile.TarInfo, bytes]], data: st.DataObject
) -> None:
    archive = written(*given)
    # The last record is padded with zeros beyond the mark of the end; only a cut before that takes something away.
    end = len(archive.rstrip(b"\0"))
    cut = data.draw(st.integers(0, end + BLOCK))
    with pytest.raises(TarError):
        members(archive[:cut])


@pytest.mark.property
@given(st.binary(max_size=3 * BLOCK))
def test_no_bytes_do_anything_but_be_refused(garbage: bytes) -> None:
    with pytest.raises(TarError):
        members(garbage)


@pytest.mark.property
@given(st.integers(0, 2 * BLOCK - 1), st.integers(1, 255))
def test_a_changed_header_is_refused_or_changes_data_alone(at: int, flip: int) -> None:
    archive = bytearray(small())
    archive[at] ^= flip
    try:
        found = members(bytes(archive))
    except TarError:
        return
    assert at >= BLOCK or found == members(small()), "a header may only change where it says nothing"


@pytest.mark.property
@given(st.integers(0, BLOCK - 1), st.binary(min_size=1, max_size=20))
def test_a_header_made_with_care_yields_members_or_a_refusal(at: int, change: bytes) -> None:
    try:
        found = members(resealed(small(), at, change[: BLOCK - at]))
    except TarError:
        return
    assert all(len(member.data) <= len(small()) for member in found)


SIZE, TYPE, MAGIC = 124, 156, 257


HARM: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "cut off"),
    "compressed": (lambda: b"\x1f\x8b" + small(), "no tar header"),
    "no end": (lambda: small()[: 3 * BLOCK], "cut off"),
    "half an end": (lambda: small()[: 3 * BLOCK] + bytes(BLOCK), "does not end"),
    "more after the end": (lambda: small()[:-BLOCK] + b"x" * BLOCK, "does not end"),
    "size beyond the file": (lambda: resealed(small(), SIZE, b"77777777777\0"), "its header says 8589934591"),
    "negative size": (lambda: resealed(small(), SIZE, b"-0000000004\0"), "expected an octal number"),
    "binary size": (lambda: resealed(small(), SIZE, b"\xff" * 12), "expected an octal number"),
    "other magic": (lambda: resealed(small(), MAGIC, b"other\0"), "no tar header"),
    "hard link with data": (lambda: resealed(small(), TYPE, b"1"), "has 4 bytes of data"),
    "hard link": (lambda: written((info("a", tarfile.LNKTYPE, linkname="b"), b"")), "a hard link"),
    "fifo": (lambda: written((info("a", tarfile.FIFOTYPE), b"")), "a fifo"),
    "unknown type": (lambda: resealed(written((info("a"), b"")), TYPE, b"Z"), "unknown type 'Z'"),
    "GNU long name": (lambda: written((info("a" * 200), b""), format=tarfile.GNU_FORMAT), "in a member of type 'L'"),
    "size in pax": (lambda: written((info("a", pax_headers={"size": "9"}), b"")), "records that no recording has"),
    "sparse": (lambda: written((info("a", pax_headers={"GNU.sparse.major": "1"}), b"")), "records that no recording"),
    "long pax record": (lambda: pax(b"9999999999 path=x\n"), "damaged pax record"),
    "pax record beyond its header": (lambda: pax(b"999 path=x\n"), "damaged pax record"),
    "empty pax record": (lambda: pax(b"0 path=x\n"), "damaged pax record"),
    "pax record without length": (lambda: pax(b"path=x\n"), "length of a pax record"),
    "pax header of nothing": (lambda: pax(b"9 path=x\n"), "does not end"),
    "NUL in a pax path": (lambda: pax(b"10 path=\0\n"), "records that no recording has"),
}


def pax(records: bytes) -> bytes:
    return resealed(written((info("a"), records)), TYPE, b"x")


@pytest.mark.parametrize("name", HARM)
def test_an_archive_made_to_do_harm_is_refused(name: str) -> None:
    make, words = HARM[name]
    with pytest.raises(TarError) as error:
        members(make())
    assert words in error.value.problem
