"""Recordings as files from elsewhere: of a newer devproxy, compressed, damaged, made to do harm."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import tarfile
import tracemalloc
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.errors import InputError
from devproxy.host.facts import Unseen
from devproxy.host.probe import probe, probe_reader
from devproxy.host.recorded import RecordedReader
from devproxy.host.recording_file import decode, load_recording
from devproxy.host.tar import TarError
from tests.hosts.make import RECORDINGS

BY_NAME: Final = {os.path.basename(path): Path(path) for path in RECORDINGS}
EIGHT: Final = BY_NAME["host-8gpu.tar"]
SMALL: Final = BY_NAME["cpu-only.tar"].read_bytes()
NEWER: Final = "not understood: a newer devproxy wrote it"


def newer(path: Path) -> bytes:
    """What a later devproxy of the same format may write."""
    out = io.BytesIO()
    with tarfile.open(path) as old, tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as new:
        for info in old:
            data = old.extractfile(info) if info.isreg() else None
            content = data.read() if data is not None else b""
            if info.name == "manifest.json":
                content = json.dumps({**json.loads(content), "boot_id": "x", "clock": [1, {"a": 2}]}).encode()
                info.size = len(content)
            new.addfile(info, io.BytesIO(content) if data is not None else None)
        for name, kind in (
            ("traces/one", tarfile.REGTYPE),
            ("traces/pipe", tarfile.FIFOTYPE),
            ("traces/hard", tarfile.LNKTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "traces/one" if kind == tarfile.LNKTYPE else ""
            new.addfile(info)
        info = tarfile.TarInfo("facts/quantum.json")
        new.addfile(info)
    return out.getvalue()


@pytest.mark.parametrize("deep", [False, True])
def test_what_a_newer_devproxy_added_is_noted_and_the_rest_is_read(deep: bool, tmp_path: Path) -> None:
    path = tmp_path / "host-8gpu.tar"
    path.write_bytes(newer(EIGHT))
    old, new = probe(str(EIGHT), deep=deep), probe(str(path), deep=deep)
    notes = [
        Unseen(place, NEWER)
        for place in ("manifest.json: boot_id", "manifest.json: clock", "traces", "facts/quantum.json")
    ]
    assert new.unseen == (*old.unseen, *notes)
    assert new._replace(unseen=old.unseen) == old


@pytest.mark.parametrize("name", BY_NAME)
def test_a_compressed_recording_is_the_same(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    data = BY_NAME[name].read_bytes()
    path.write_bytes(gzip.compress(data[:700]) + gzip.compress(data[700:]))
    assert probe(str(path), deep=True) == probe(str(BY_NAME[name]), deep=True)


def test_a_bomb_takes_no_more_memory_than_a_recording_may(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(256):
            file.write(bytes(1 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="unpacks to more than"):
            load_recording(str(path))
        assert tracemalloc.get_traced_memory()[1] < 150 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", BY_NAME)
def test_recordings_are_small(name: str) -> None:
    """500 kB for a host with eight GPUs, partitioned or not."""
    assert BY_NAME[name].stat().st_size <= 500_000


# whatever is done to one


def mutated(data: bytes, seed: int) -> bytes:
    """Bytes that were flipped, cut, moved, repeated, in headers more often than elsewhere; often with a good checksum."""
    chance = random.Random(seed)
    archive = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        blocks = len(archive) // 512
        start = 512 * chance.randrange(blocks or 1)
        match chance.randrange(6):
            case 0:
                archive[start + chance.randrange(0, 512, 4) : start + 512] = (
                    b"" if chance.random() < 0.2 else bytes(512)
                )
            case 1:
                archive = archive[: chance.randrange(len(archive) or 1)]
            case 2:
                archive[start:start] = archive[start : start + 512 * chance.randint(1, 4)]
            case 3:
                field, width = chance.choice(
                    [(0, 100), (100, 8), (108, 8), (124, 12), (156, 1), (157, 100), (329, 16), (345, 155)]
                )
                archive[start + field : start + field + width] = bytes(chance.choices(b"01234567x/\0.\xff", k=width))
            case 4 if archive:
                archive[chance.randrange(len(archive))] ^= 1 << chance.randrange(8)
            case _:
                archive += bytes(chance.randrange(1024))
        if chance.random() < 0.8 and len(archive) >= start + 512:
            header = archive[start : start + 512]
            total = sum(header) - sum(header[148:156]) + 8 * 32
            archive[start + 148 : start + 156] = b"%06o\0 " % total
    return bytes(archive)


@pytest.mark.property
@given(st.integers(0, 1 << 64))
def test_a_recording_that_was_tampered_with_is_read_or_refused(seed: int) -> None:
    try:
        recording = decode(mutated(SMALL, seed))
    except TarError:
        return
    host = probe_reader(RecordedReader(recording), name="x", simulated=True, deep=True)
    assert host.simulated
    assert host.details is not None


@pytest.mark.property
@given(st.binary(max_size=2000), st.booleans())
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes, compressed: bool) -> None:
    path = tmp_path_factory.getbasetemp() / "any.tar"
    path.write_bytes(gzip.compress(data) if compressed else data)
    with pytest.raises(InputError):
        load_recording(str(path))


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.property
@given(st.dictionaries(st.sampled_from(["absent", "unread", "looked", "others", "time", "tool", "more"]), JSON))
def test_any_manifest_is_read_or_refused(changes: dict[str, object]) -> None:
    manifest = {"format": 1, "absent": [], "unread": {}, "looked": {}, "others": {}, **changes}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("manifest.json")
        data = json.dumps(manifest).encode()
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    try:
        recording = decode(out.getvalue())
    except TarError:
        return
    probe_reader(RecordedReader(recording), name="x", simulated=True, deep=True)
