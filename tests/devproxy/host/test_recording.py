"""Recordings: a recorded machine is seen as it was, every failure included; a file is whole or refused."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.errors import InputError
from devproxy.host.facts import Host, Unseen
from devproxy.host.probe import probe, probe_reader
from devproxy.host.recorded import RecordedReader, Recorder, Recording
from devproxy.host.recording_file import decode, encode, load_recording, save
from devproxy.host.root import LiveReader, Reader
from devproxy.host.tar import TarError
from tests.hosts.machine import Machine


def record(reader: Reader) -> tuple[Host, Recording]:
    recorder = Recorder(reader)
    host = probe_reader(recorder, name="x", simulated=False)
    return host, recorder.recording()


# any machine, also one that answers nonsense

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..")
)
ADDRESSES = st.builds("0000:{:02x}:00.0".format, st.integers(0, 255))
TEXTS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([
        b"Character devices:\n195 nvidia\n",
        b"DRIVER=nvidia\nPCI_CLASS=30200\nPCI_ID=10DE:2330\n",
        b"0\n",
        b"Device Minor: 3\n",
    ]),
)  # fmt: skip
FILES = st.one_of(
    st.sampled_from([
        "/proc/devices", "/proc/misc", "/proc/driver/nvidia/version", "/proc/driver/nvidia/params",
        "/sys/devices/virtual/dmi/id/product_name", "/dev/file",
    ]),
    st.builds("/proc/driver/nvidia/gpus/{}/information".format, st.one_of(ADDRESSES, WORDS)),
    st.builds("/sys/devices/{}/{}".format, ADDRESSES, st.sampled_from(["uevent", "numa_node"])),
)  # fmt: skip
NODES = st.one_of(st.builds("/dev/{}".format, WORDS), st.builds("/dev/d-{}/{}".format, WORDS, WORDS))
NUMBERS = st.tuples(st.integers(0, 4095), st.integers(0, (1 << 20) - 1))
KINDS = st.sampled_from([stat.S_IFCHR, stat.S_IFBLK])


@st.composite
def machines(draw: st.DrawFn, *, failing: bool = True) -> Machine:
    machine = Machine().directory("/dev").directory("/sys/bus/pci/devices")
    for path, text in draw(st.dictionaries(FILES, TEXTS)).items():
        machine.file(path, text)
    for path, number in draw(st.dictionaries(NODES, NUMBERS, max_size=6)).items():
        machine.node(path, number, draw(st.integers(0, 0o7777)), kind=draw(KINDS))
    for address in draw(st.sets(ADDRESSES)):
        machine.link(f"/sys/bus/pci/devices/{address}", f"../../../devices/{address}")
    if failing:
        errors = st.sampled_from([errno.EACCES, errno.EIO, errno.ENODEV, errno.ENOENT])
        for path, error in draw(st.dictionaries(st.one_of(FILES, NODES), errors, max_size=4)).items():
            machine.refuse(path, error)
    for name in draw(st.sets(st.sampled_from(["uname", "limits"]))):
        machine.fact(name, draw(st.dictionaries(WORDS, st.one_of(st.integers(), st.text(), st.just([1, None])))))
    return machine


@pytest.mark.property
@given(machines())
def test_a_recording_is_seen_like_the_machine(machine: Machine) -> None:
    plain = probe_reader(machine, name="x", simulated=False)
    host, recording = record(machine)
    assert host == plain, "keeping what is read changes nothing"
    assert probe_reader(RecordedReader(decode(encode(recording, recorded_at=0))), name="x", simulated=False) == host


@pytest.mark.property
@given(machines())
def test_a_recording_of_a_recording_is_the_same_file(machine: Machine) -> None:
    _, recording = record(machine)
    archive = encode(recording, recorded_at=7)
    _, again = record(RecordedReader(decode(archive)))
    assert encode(again, recorded_at=7) == archive


@pytest.mark.property
@pytest.mark.root
@given(machines(failing=False))
def test_the_kernel_is_read_like_the_values(tmp_path_factory: pytest.TempPathFactory, machine: Machine) -> None:
    directory = str(tmp_path_factory.mktemp("machine"))
    machine.write_to(directory)
    with LiveReader(directory) as reader:
        live, recording = record(reader)
    # The facts that are no files come from this machine, whatever directory is read.
    values = probe_reader(machine, name="x", simulated=False)
    assert live == values._replace(kernel=live.kernel, limits=live.limits, unseen=live.unseen)
    assert set(live.unseen) == {unseen for unseen in values.unseen if not unseen.path.startswith("facts/")}
    assert probe_reader(RecordedReader(recording), name="x", simulated=False) == live


def test_this_machine_is_recorded_as_it_is(tmp_path: Path) -> None:
    path = str(tmp_path / "here.tar")
    with LiveReader() as reader:
        host, recording = record(reader)
    save(encode(recording, recorded_at=0), path)
    assert probe(path) == host._replace(name="here.tar", simulated=True)


@pytest.mark.root
def test_a_recording_answers_with_the_errors_of_the_kernel(tmp_path: Path) -> None:
    """Every verb on every kind of path: the same answer or the same errno."""
    machine = Machine().file("/d/file", "12345").link("/d/link", "file").node("/d/node", (1, 3)).directory("/d/empty")
    machine.write_to(str(tmp_path))
    verbs: list[Callable[[Reader, str], object]] = [
        lambda reader, path: reader.read_bytes(path, 5),
        lambda reader, path: reader.read_bytes(path, 4),
        lambda reader, path: sorted(reader.listdir(path)),
        lambda reader, path: reader.readlink(path),
        lambda reader, path: reader.lstat(path),
    ]
    paths = ["/d", "/d/file", "/d/link", "/d/node", "/d/empty", "/d/missing", "/d/file/below"]

    def answers(reader: Reader) -> list[object]:
        found: list[object] = []
        for path in paths:
            for verb in verbs:
                try:
                    found.append((path, verb(reader, path)))
                except OSError as error:
                    found.append(
                        (path, errno.ENOENT if error.errno == errno.ENOTDIR and "below" in path else error.errno)
                    )
        return found

    with LiveReader(str(tmp_path)) as live:
        recorder = Recorder(live)
        expected = answers(recorder)
        assert expected == answers(live) == answers(machine)
    assert answers(RecordedReader(recorder.recording())) == expected


def test_what_was_never_asked_for_is_not_absent() -> None:
    _, recording = record(Machine().directory("/dev").file("/proc/devices", "").link("/dev/fd", "/proc/self/fd"))
    reader = RecordedReader(recording)
    for ask in (reader.lstat, reader.listdir, reader.readlink, lambda path: reader.read_bytes(path, 9)):
        with pytest.raises(OSError) as error:
            ask("/etc/os-release")
        assert error.value.errno == errno.ENODATA
    with pytest.raises(FileNotFoundError):
        reader.read_bytes("/proc/driver/nvidia/version", 9)


def test_a_recording_without_a_file_says_so_when_probed() -> None:
    host = probe_reader(
        RecordedReader(Recording({}, {}, frozenset({"/proc", "/sys"}), {}, {}, {})), name="x", simulated=True
    )
    assert {unseen.path for unseen in host.unseen} == {"/dev", "facts/uname.json", "facts/limits.json"}
    assert {unseen.why for unseen in host.unseen} == {"ENODATA: the recording does not say"}


def test_every_tool_can_list_it() -> None:
    _, recording = record(Machine().node("/dev/nvidia0", (195, 0), 0o640, gid=44).refuse("/proc/misc"))
    with tarfile.open(fileobj=io.BytesIO(encode(recording, recorded_at=99))) as archive:
        node = archive.getmember("root/dev/nvidia0")
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        document = json.load(manifest)
    assert (node.ischr(), node.devmajor, node.devminor, node.mode, node.gid) == (True, 195, 0, 0o640, 44)
    assert node.mtime == 99
    assert document["time"] == "1970-01-01T00:01:39Z"
    assert document["unread"] == {"/proc/misc": "EACCES"}


# files made to do harm

MANIFEST = b'{"format": 1, "absent": [], "unread": {}, "looked": {}, "others": {}}'


def archive_of(*entries: tuple[str, bytes | tarfile.TarInfo], manifest: bytes | None = MANIFEST) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in [("manifest.json", manifest), *entries]:
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                archive.addfile(content)
            elif content is not None:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def manifest_with(**changes: object) -> bytes:
    return archive_of(manifest=json.dumps(json.loads(MANIFEST) | changes).encode())


def entry(kind: bytes, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


HARM: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "parent": (lambda: archive_of(("root/../etc/passwd", b"")), "root/../etc/passwd", "`..`"),
    "absolute": (lambda: archive_of(("/root/x", b"")), "/root/x", "empty"),
    "doubled slash": (lambda: archive_of(("root//x", b"")), "root//x", "empty"),
    "dot": (lambda: archive_of(("./root/x", b"")), "./root/x", "`.`"),
    "control characters": (lambda: archive_of(("e\x1btc/passwd", b"")), "passwd", "is neither"),
    "global header": (lambda: archive_of(("new/x", entry(tarfile.XGLTYPE))), "new/x", "a global header"),
    "deep": (lambda: archive_of(("root" + "/x" * 70, b"")), "root/x", "70 parts"),
    "long": (lambda: archive_of(("root/" + "x" * 5000, b"")), "root/x", "5005 characters"),
    "deep in the manifest": (lambda: manifest_with(absent=["/a" * 400_000]), "manifest.json", "400000 parts"),
    "many pax records": (
        lambda: archive_of(("root/x", entry(tarfile.SYMTYPE, linkname="y" * 70_000))), "", "bytes of pax records"),
    "large owner": (lambda: archive_of(("root/x", entry(tarfile.SYMTYPE, uid=1 << 33))), "root/x", "beyond what Linux"),
    "odd owner": (lambda: manifest_with(looked={"/x": ["040755", -1, 0]}), "manifest.json", "expected mode, uid and gid"),
    "sparse": (lambda: archive_of(("root/x", entry(b"S"))), "root/x", "sparse"),
    "gzip cut off": (lambda: gzip.compress(archive_of(("root/x", b"1")))[:-9], "", "was cut off"),
    "gzip with more behind it": (lambda: gzip.compress(archive_of()) + b"xyz", "", "is damaged where gzip"),
    "gzip bomb": (lambda: gzip.compress(bytes(80 << 20)), "", "unpacks to more than"),
    "gzip in gzip": (lambda: gzip.compress(gzip.compress(archive_of())), "", "no tar"),
    "bare root": (lambda: archive_of(("root", entry(tarfile.DIRTYPE))), "root", "is neither"),
    "deep fact": (lambda: archive_of(("facts/a/b.json", b"")), "facts/a/b.json", "is neither"),
    "fact that is a link": (lambda: archive_of(("facts/a.json", entry(tarfile.SYMTYPE))), "facts/a.json", "neither"),
    "hard link": (lambda: archive_of(("root/x", entry(tarfile.LNKTYPE))), "root/x", "a hard link"),
    "twice": (lambda: archive_of(("root/x", b"1"), ("root/x", b"2")), "root/x", "is there twice"),
    "twice by a slash": (
        lambda: archive_of(("root/x", b"1"), ("root/x", entry(tarfile.DIRTYPE))), "root/x", "is there twice"),
    "below a file": (lambda: archive_of(("root/x", b""), ("root/x/y/z", b"")), "root/x/y/z", "below root/x"),
    "below a link": (
        lambda: archive_of(("root/x", entry(tarfile.SYMTYPE, linkname="/")), ("root/x/y", b"")), "root/x/y", "below"),
    "large file": (lambda: archive_of(("root/x", bytes((1 << 20) + 1))), "root/x", "at most 1048576"),
    "large major": (
        lambda: archive_of(("root/x", entry(tarfile.CHRTYPE, devmajor=4096))), "root/x", "beyond what Linux has"),
    "no manifest": (lambda: archive_of(("root/x", b""), manifest=None), "manifest.json", "is missing"),
    "manifest no JSON": (lambda: archive_of(manifest=b"{"), "manifest.json", "no JSON"),
    "manifest deep": (lambda: archive_of(manifest=b"[" * 100_000), "manifest.json", "no JSON"),
    "manifest a list": (lambda: archive_of(manifest=b"[]"), "manifest.json", "does not say its format"),
    "newer format": (lambda: archive_of(manifest=b'{"format": 2, "tool": "devproxy 9.1"}'), "manifest.json", "written by devproxy 9.1"),
    "no absent": (lambda: archive_of(manifest=b'{"format": 1}'), "manifest.json", "absent"),
    "odd absent": (lambda: manifest_with(absent=[1]), "manifest.json", "absent"),
    "odd unread": (lambda: manifest_with(unread=[]), "manifest.json", "no table 'unread'"),
    "odd error": (lambda: manifest_with(unread={"/x": "EODD"}), "manifest.json", "'EODD' for the unread '/x'"),
    "unhashable error": (lambda: manifest_with(unread={"/x": []}), "manifest.json", "expected an errno"),
    "odd others": (lambda: manifest_with(others={"/x": [1]}), "manifest.json", "expected a list of names"),
    "odd mode": (lambda: manifest_with(looked={"/x": ["9", 0, 0]}), "manifest.json", "expected mode, uid and gid"),
    "empty mode": (lambda: manifest_with(looked={"/x": ["", 0, 0]}), "manifest.json", "expected mode, uid and gid"),
    "odd look": (lambda: manifest_with(looked={"/x": None}), "manifest.json", "expected mode, uid and gid"),
    "no tar": (lambda: b"nonsense" * 200, "", "no tar header"),
    "cut off": (lambda: archive_of(("root/x", b"1" * 600))[:2000], "root/x", "cut off"),
}  # fmt: skip


@pytest.mark.parametrize("name", HARM)
def test_a_recording_made_to_do_harm_is_refused_by_file_and_member(tmp_path: Path, name: str) -> None:
    make, member, words = HARM[name]
    path = tmp_path / "bad.tar"
    path.write_bytes(make())
    with pytest.raises(InputError) as error:
        load_recording(str(path))
    assert str(path) in error.value.message
    assert member in error.value.message
    assert words in error.value.message


def test_paths_in_the_manifest_lead_nowhere() -> None:
    odd = ["", "/", "//", "//x", "relative", "/../..", "/a//b", "/proc/\udc80"]
    manifest = {"format": 1, "absent": odd, "unread": dict.fromkeys(odd, "EACCES")}
    manifest |= {"looked": {key: ["040755", 0, 0] for key in odd}, "others": dict.fromkeys(["/dev", *odd], odd)}
    recording = decode(archive_of(manifest=json.dumps(manifest).encode()))
    assert probe_reader(RecordedReader(recording), name="x", simulated=True).nodes == ()


def test_more_members_than_a_machine_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devproxy.host.recording_file._MOST_MEMBERS", 3)
    decode(archive_of(("root/a", b""), ("root/b", b"")))
    with pytest.raises(TarError, match="3 members"):
        decode(archive_of(("root/a", b""), ("root/b", b""), ("root/c", b"")))


def test_a_file_larger_than_a_recording_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.tar"
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="1099511627776 bytes"):
        load_recording(str(path))


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "device"])
def test_what_is_no_file_is_no_recording(tmp_path: Path, kind: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    path = {
        "missing": tmp_path / "none",
        "directory": tmp_path,
        "fifo": tmp_path / "fifo",
        "device": Path("/dev/zero"),
    }[kind]
    with pytest.raises(InputError) as error:
        load_recording(str(path))
    assert str(path) in error.value.message


# writing


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    save(b"old", str(path))
    with open(path, "rb") as old:
        save(b"new", str(path))
        assert old.read() == b"old", "somebody who reads keeps the old file"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["x.tar"]


def test_an_interruption_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.tar"
    save(b"old", str(path))

    def interrupted(fd: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(b"new", str(path))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x.tar"]


def test_only_a_regular_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("x")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo", "."):
        with pytest.raises(InputError, match="expected a regular file"):
            save(b"", str(tmp_path / name))
    assert sorted(os.listdir(tmp_path)) == ["fifo", "link"]


def test_a_directory_that_is_missing_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        save(b"", str(tmp_path / "none" / "x.tar"))


def test_no_failure_is_lost_by_recording() -> None:
    machine = (
        Machine().refuse("/proc/devices").refuse("/dev/vfio", errno.EIO).refuse("/sys/bus/pci/devices", errno.EPERM)
    )
    _, recording = record(machine)
    host = probe_reader(RecordedReader(decode(encode(recording, recorded_at=0))), name="x", simulated=True)
    assert {Unseen("/proc/devices", "EACCES: Permission denied"), Unseen("/dev/vfio", "EIO: Input/output error"),
            Unseen("/sys/bus/pci/devices", "EPERM: Operation not permitted")} <= set(host.unseen)  # fmt: skip
