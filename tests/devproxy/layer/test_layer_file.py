"""The file itself: other tools read it, and nothing but what devproxy wrote is read back."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.layer.check import Part, RefusedError, divide
from devproxy.layer.entry import Entry, Kind
from devproxy.layer.pax import DamagedError
from devproxy.layer.reader import Layer, read_layer
from devproxy.layer.tree import TreeFile
from devproxy.layer.writer import LayerWriter
from devproxy.targets.kernel.descriptor_tree import DescriptorFile

pytestmark = pytest.mark.rows("H20", "H29", oracle="specification")

DESCRIPTION = {"format": 1}
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=80).filter(
    lambda name: name not in (".", "..")
)
# Names and targets are bytes to the kernel: what is no UTF-8 is kept too.
BYTES = st.binary(min_size=1, max_size=120).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"_").replace(b"/", b"|")))
ENTRIES = st.builds(
    Entry,
    path=st.lists(st.one_of(NAMES, BYTES), min_size=1, max_size=4).map("/".join),
    kind=st.sampled_from([Kind.DIRECTORY, Kind.SYMLINK, Kind.FIFO, Kind.CHARACTER, Kind.FILE]),
    mode=st.integers(0, 0o7777),
    uid=st.sampled_from([0, 1000, 0o7777777, 0o10000000, 2**32 - 2]),
    gid=st.sampled_from([0, 65534, 2**31]),
    mtime_ns=st.integers(-(10**19), 10**19),
    size=st.just(0),
    extents=st.just(()),
    link=st.one_of(NAMES, BYTES),
    major=st.integers(0, 4095),
    minor=st.integers(0, 2**20 - 1),
    xattrs=st.dictionaries(st.sampled_from(["user.a", "user.b c", "security.capability"]), st.binary(max_size=40)).map(
        lambda found: tuple(found.items())
    ),
)


def _written(path: Path, entries: list[tuple[Entry, TreeFile | None]]) -> str:
    with open(path, "wb") as file:
        writer = LayerWriter(file, DESCRIPTION)
        for entry, content in entries:
            writer.add(entry, content)
        writer.finish()
    return str(path)


def _read(path: str) -> Layer:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return read_layer(descriptor)
    finally:
        os.close(descriptor)


def _plain(entry: Entry) -> Entry:
    """Without what its kind has no use for."""
    device = entry.kind is Kind.CHARACTER
    return entry._replace(
        link=entry.link if entry.kind is Kind.SYMLINK else "",
        major=entry.major if device else 0,
        minor=entry.minor if device else 0,
    )


@pytest.mark.property
@given(entries=st.lists(ENTRIES.map(_plain), min_size=1, max_size=4))
def test_what_is_written_is_read_back_here_and_by_tarfile(
    entries: list[Entry], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("layer") / "layer.tar"
    _written(path, [(entry, None) for entry in entries])
    layer = _read(str(path))
    assert layer.description == DESCRIPTION
    assert list(layer.entries) == entries
    with tarfile.open(path, encoding="utf-8", errors="surrogateescape") as archive:
        members = archive.getmembers()
    assert [member.name for member in members] == ["./" + entry.path for entry in entries]
    for member, entry in zip(members, entries, strict=True):
        assert (member.mode, member.uid, member.gid) == (entry.mode, entry.uid, entry.gid)
        assert member.type.decode() == entry.kind.value
        assert member.linkname == entry.link
        for name, value in entry.xattrs:
            assert member.pax_headers[f"SCHILY.xattr.{name}"].encode("utf-8", "surrogateescape") == value


def _file(path: Path, pieces: dict[int, bytes], size: int) -> DescriptorFile:
    with open(path, "wb") as file:
        for offset, data in pieces.items():
            file.seek(offset)
            file.write(data)
        file.truncate(size)
    return DescriptorFile(os.open(path, os.O_RDONLY))


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 100_000, 5 << 20])
def test_data_and_holes(size: int, tmp_path: Path) -> None:
    pieces = {0: b"begin"[:size], size // 2: b"x" * min(3, size - size // 2)}
    with _file(tmp_path / "data", pieces, size) as content:
        entry = Entry("a/data", Kind.FILE, 0o644, size=content.size)
        path = _written(tmp_path / "layer.tar", [(Entry("a", Kind.DIRECTORY, 0o755), None), (entry, content)])
        expected = (tmp_path / "data").read_bytes()
    (_, read) = _read(path).entries
    assert read.size == size
    with open(path, "rb") as file:
        found = bytearray(size)
        for extent in read.extents:
            file.seek(extent.at)
            found[extent.offset : extent.offset + extent.length] = file.read(extent.length)
    assert bytes(found) == expected
    assert os.stat(path).st_size < 200_000, "holes were written out"
    with tarfile.open(path) as archive:
        stored = archive.extractfile("./a/data")
        assert stored is not None
        assert stored.read() == expected


def _small(tmp_path: Path) -> str:
    with _file(tmp_path / "data", {0: b"data", 90_000: b"more"}, 200_000) as content:
        return _written(
            tmp_path / "layer.tar",
            [
                (Entry("", Kind.DIRECTORY, 0o755, mtime_ns=1), None),
                (Entry("data", Kind.FILE, 0o644, size=content.size, xattrs=(("user.a", b"\xff"),)), content),
                (Entry("link", Kind.SYMLINK, 0o777, link="/" + "x" * 200), None),
            ],
        )


def test_a_file_that_was_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    whole = Path(_small(tmp_path)).read_bytes()
    for length in [*range(0, len(whole), 256), len(whole) - 1, len(whole) - 512]:
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(DamagedError):
            _read(str(tmp_path / "cut"))


def test_a_file_in_which_anything_was_changed_is_refused(tmp_path: Path) -> None:
    whole = Path(_small(tmp_path)).read_bytes()
    for index in range(0, len(whole), 37):
        changed = bytearray(whole)
        changed[index] ^= 0x11
        (tmp_path / "changed").write_bytes(changed)
        with pytest.raises(DamagedError):
            _read(str(tmp_path / "changed"))


@pytest.mark.property
@given(data=st.binary(max_size=3000))
def test_no_other_file_is_taken_for_one(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("layer") / "any"
    path.write_bytes(data)
    with pytest.raises(DamagedError, match="no file that devproxy saved"):
        _read(str(path))


DIRECTORY = Entry("", Kind.DIRECTORY, 0o755)
FILE = Entry("f", Kind.FILE, 0o644)
DATA = Entry("data", Kind.DIRECTORY, 0o755)
PARTS = {"": Part("", "overlay"), "data": Part("data", "tmpfs"), "one": Part("one", "file")}


def _whiteout(path: str) -> Entry:
    return Entry(path, Kind.FILE, 0o644)


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([Entry("/etc/passwd", Kind.FILE)], "not one of a file in the root"),
        ([DIRECTORY, Entry("../x", Kind.FILE)], "not one of a file in the root"),
        ([DIRECTORY, Entry("a/../../x", Kind.FILE)], "not one of a file in the root"),
        ([DIRECTORY, Entry("a//b", Kind.FILE)], "not one of a file in the root"),
        ([DIRECTORY, Entry("./a", Kind.FILE)], "not one of a file in the root"),
        ([DIRECTORY, Entry("a\0b", Kind.FILE)], "not one of a file in the root"),
        ([DIRECTORY, Entry("x" * 256, Kind.FILE)], "more than 255 bytes"),
        ([DIRECTORY, FILE, FILE], "twice"),
        ([DIRECTORY, FILE, Entry("f", Kind.DIRECTORY)], "twice"),
        ([DIRECTORY, Entry("l", Kind.SYMLINK, link="/"), Entry("l", Kind.DIRECTORY)], "twice"),
        ([DIRECTORY, Entry("l", Kind.SYMLINK, link="/"), Entry("l/x", Kind.FILE)], "no directory of the same mount"),
        ([DIRECTORY, Entry("a/b", Kind.FILE)], "no directory of the same mount"),
        ([FILE], "no directory of the same mount"),
        ([Entry("", Kind.SYMLINK, link="/etc")], "not what is mounted there"),
        ([DIRECTORY, Entry("data", Kind.SYMLINK, link="/etc")], "not what is mounted there"),
        ([DIRECTORY, Entry("one", Kind.DIRECTORY)], "not what is mounted there"),
        ([Entry("one", Kind.HARD_LINK, link="f")], "not what is mounted there"),
        ([DIRECTORY, Entry("h", Kind.HARD_LINK, link="../../etc/shadow")], "no file of the same mount"),
        ([DIRECTORY, Entry("h", Kind.HARD_LINK, link="f"), FILE], "no file of the same mount"),
        ([DIRECTORY, Entry("a", Kind.DIRECTORY), Entry("h", Kind.HARD_LINK, link="a")], "no file of the same mount"),
        ([DIRECTORY, FILE, DATA, Entry("data/h", Kind.HARD_LINK, link="f")], "no file of the same mount"),
        ([DIRECTORY, Entry("l", Kind.SYMLINK, link="")], "symbolic link"),
        ([DIRECTORY, Entry("l", Kind.SYMLINK, link="x" * 4096)], "symbolic link"),
        ([DIRECTORY, Entry("f", Kind.FILE, mode=0o100644)], "more than permissions"),
        ([DIRECTORY, Entry("f", Kind.FILE, uid=2**32 - 1)], "nobody's"),
        ([DIRECTORY, Entry("f", Kind.FILE, mtime_ns=2**63)], "no file can have"),
        ([DIRECTORY, Entry("f", Kind.FILE, size=2**63)], "no file can have"),
        ([DIRECTORY, Entry("f", Kind.FILE, xattrs=(("trusted.overlay.redirect", b"/"),))], "trusted.overlay"),
        ([DIRECTORY, Entry("f", Kind.FILE, xattrs=(("user.overlay.opaque", b"y"),))], "user.overlay"),
        ([DIRECTORY, Entry("f", Kind.FILE, xattrs=(("security.selinux", b"x"),))], "security.selinux"),
        ([DIRECTORY, Entry("f", Kind.FILE, xattrs=(("system.posix_acl_access", b"x"),))], "system.posix_acl"),
        ([DIRECTORY, Entry("f", Kind.FILE, xattrs=(("user.x", b"x" * 65537),))], "user.x"),
        ([DIRECTORY, Entry("f", Kind.FILE, xattrs=(("user.a=b", b"x"),))], "user.a=b"),
        ([DIRECTORY, Entry("p", Kind.FIFO, xattrs=(("user.x", b"x"),))], "only files and directories"),
        ([DIRECTORY, _whiteout(".wh..")], "hides no name"),
        ([DIRECTORY, _whiteout(".wh...")], "hides no name"),
        ([DIRECTORY, _whiteout(".wh.")], "would hide what is mounted"),
        ([DIRECTORY, Entry("a", Kind.DIRECTORY), _whiteout("a/.wh.")], "hides no name"),
        ([DIRECTORY, _whiteout(".wh..wh.plnk")], "hides no name"),
        ([DIRECTORY, Entry(".wh.f", Kind.DIRECTORY)], "no empty file"),
        ([DIRECTORY, Entry(".wh.f", Kind.FILE, size=1)], "no empty file"),
        ([DIRECTORY, _whiteout(".wh.data")], "would hide what is mounted"),
        ([DIRECTORY, _whiteout(".wh.f"), FILE], "twice"),
        ([DIRECTORY, FILE, _whiteout(".wh..wh..opq")], "has to be first"),
        ([DIRECTORY, DATA, _whiteout("data/.wh.f")], "nothing to hide"),
        ([DIRECTORY, DATA, Entry("data/a", Kind.DIRECTORY), _whiteout("data/a/.wh..wh..opq")], "nothing to hide"),
    ],
)
def test_what_could_lead_out_or_was_never_written_is_refused(entries: list[Entry], why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        divide(entries, PARTS)


def test_what_is_in_no_saved_mount_is_refused() -> None:
    with pytest.raises(RefusedError, match="in none of the mounts"):
        divide([Entry("etc/x", Kind.FILE)], {"data": Part("data", "tmpfs")})


def test_each_entry_belongs_to_the_deepest_mount() -> None:
    entries = [DIRECTORY, FILE, DATA, Entry("data/f", Kind.FILE), Entry("one", Kind.FILE, size=3)]
    assert divide(entries, PARTS) == {"": entries[:2], "data": entries[2:4], "one": entries[4:]}
