"""Shared memory that outlives its makers, as a real kernel has it."""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.host.live.shared_memory import entries_of, mps_directories, read, segments_in
from devproxy.host.root import HostRoot
from devproxy.host.shared_memory_facts import SharedMemory, SharedSegment
from devproxy.host.sources.shared_memory import read_shared_memory
from devproxy.json_text import dumps
from tests.devproxy.host.live.processes import holding
from tests.hosts.machine import Machine
from tests.unprivileged import as_user

SHM: Final = "/dev/shm"

needs_shm: Final = pytest.mark.skipif(not os.path.ismount(SHM), reason="/dev/shm is no mount here")


@contextlib.contextmanager
def entry(data: bytes = b"x" * 5000) -> Iterator[str]:
    """A file in /dev/shm, as shm_open(3) makes it."""
    path = f"{SHM}/devproxy-test-{os.getpid()}-{os.urandom(4).hex()}"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
    try:
        os.write(file, data)
        os.close(file)
        yield path
    finally:
        os.unlink(path)


def seen(path: str) -> dict[str, Any]:
    found: Any = read()
    return next(each for each in found["entries"] if each["path"] == path)


def mapped(path: str) -> mmap.mmap:
    with open(path, "r+b") as file:
        return mmap.mmap(file.fileno(), 0)


@needs_shm
def test_an_entry_is_what_stat_says_and_when_it_was_born() -> None:
    before = time.time()
    with entry() as path:
        found, status = seen(path), os.lstat(path)
        after = time.time()
    assert (found["uid"], found["size"], found["kind"], found["mode"]) == (os.geteuid(), 5000, "file", 0o640)
    assert (found["device"], found["inode"]) == (status.st_dev, status.st_ino)
    # A file's times are those of the last tick.
    assert found["born"] is None or before - 0.1 <= found["born"] <= after
    assert abs(found["changed"] - status.st_ctime) < 1e-3


@needs_shm
@pytest.mark.parametrize("how", ["mapped", "open"])
def test_who_has_it_mapped_or_open_is_counted_until_they_end(how: str) -> None:
    with entry() as path:
        assert not seen(path)["users"]
        with holding(lambda: mapped(path) if how == "mapped" else open(path)):
            assert seen(path)["users"] == 1
            with holding(lambda: mapped(path)):
                assert seen(path)["users"] == 2
        assert not seen(path)["users"]


@needs_shm
def test_a_mapping_by_another_name_counts() -> None:
    """glibc's sem_open(3) maps a file of another name, links it to its own, and removes the first."""
    with entry() as path:
        other = f"{path}-other"
        os.link(path, other)
        try:
            held = mapped(other)
        finally:
            os.unlink(other)
        with held:
            assert seen(path)["users"] == 1


def test_processes_that_may_not_be_looked_into_leave_it_unknown() -> None:
    def child(directory: Path) -> Any:
        (directory / "x").write_text("")
        (found,), _ = entries_of(str(directory))
        return found["users"]

    assert as_user(child) is None


def test_every_kind_of_entry_is_told_and_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("abc")
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "fifo")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n")).write_text("")
    found, left_out = entries_of(str(tmp_path))
    kinds = {str(each["path"]).rpartition("/")[2]: each["kind"] for each in found}
    assert kinds == {"file": "file", "directory": "directory", "link": "link", "fifo": "fifo", "\\xff\n": "file"}
    assert left_out == 0
    assert entries_of(str(tmp_path / "none")) == ([], 0)


def test_of_thousands_the_newest_are_kept_and_the_recording_stays_small(tmp_path: Path) -> None:
    for number in range(1500):
        (tmp_path / f"torch_{number:04}_{'x' * 30}").touch()
    newest = tmp_path / "aaa"
    newest.touch()
    found, left_out = entries_of(str(tmp_path))
    assert len(found) + left_out == 1501
    assert found[0]["path"] == str(newest)
    assert len(dumps(found)) < 120_000


# System V

TEXT: Final = """\
       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap
         0          3  1600                  4096  4711  4712      2  1000  1000     0     0 1795690000          0 1795690001                  4096                    0
-559038737      32768   666              33554432     9     0      0  1001  1001  1001  1001          0          0 1795690002                     0                    0
"""


def test_lines_of_segments() -> None:
    found, left_out = segments_in(TEXT)
    machine = Machine().fact("shared_memory", {"entries": [], "mps": [], "segments": found})
    memory = read_shared_memory(HostRoot(machine))
    assert memory == SharedMemory(
        (),
        (
            SharedSegment(3, 0, 1000, 0, 0o600, 4096, 2, 4711, 4712, 1795690001.0),
            SharedSegment(32768, 0xDEADBEEF, 1001, 1001, 0o666, 33554432, 0, 9, 0, 1795690002.0),
        ),
    )
    assert left_out == 0


@pytest.mark.property
@given(st.text(max_size=300))
def test_every_text_is_a_list_of_segments(text: str) -> None:
    found, left_out = segments_in(f"heading\n{text}")
    assert (len(found), left_out) == (0, 0) or any(character.isdigit() for character in text)


def test_of_thousands_of_segments_the_newest_are_kept() -> None:
    lines = [f"0 {number} 600 1 1 1 0 0 0 0 0 0 0 {number}" for number in range(5000)]
    found, left_out = segments_in("\n".join(["heading", *lines]))
    assert found[-1]["ident"] == 4999
    assert len(found) + left_out == 5000
    assert len(dumps(found)) < 100_000


@pytest.mark.programs
@pytest.mark.skipif(not os.path.exists("/usr/bin/ipcmk"), reason="no ipcmk here (util-linux)")
def test_a_segment_that_ipcmk_made_is_seen_until_ipcrm_removes_it() -> None:
    made = subprocess.run(["ipcmk", "-M", "12345", "-p", "0640"], capture_output=True, text=True, check=True).stdout
    ident = int(made.split()[-1])
    try:
        document: Any = read()
        (found,) = [each for each in document["segments"] if each["ident"] == ident]
        assert (found["uid"], found["size"], found["attached"], found["mode"]) == (os.geteuid(), 12345, 0, 0o640)
    finally:
        subprocess.run(["ipcrm", "-m", str(ident)], check=True)
    document = read()
    assert ident not in [each["ident"] for each in document["segments"]]


# MPS


def mps(tmp_path: Path, environment: dict[str, str]) -> list[dict[str, Any]]:
    places = (("pipe", "PIPE", str(tmp_path / "usual")), ("log", "LOG", str(tmp_path / "logs")))
    return list(mps_directories(environment, places))


def test_directories_of_mps_by_default_and_by_name(tmp_path: Path) -> None:
    assert mps(tmp_path, {}) == []
    for name in ("usual", "logs", "own"):
        (tmp_path / name).mkdir()
    found = mps(tmp_path, {"PIPE": f"{tmp_path}/own/", "LOG": "not/absolute"})
    assert [(each["role"], each["path"]) for each in found] == [
        ("pipe", str(tmp_path / "own")), ("pipe", str(tmp_path / "usual")), ("log", str(tmp_path / "logs")),
    ]  # fmt: skip
    assert {each["uid"] for each in found} == {os.geteuid()}
    assert [each["alive"] for each in found] == [False, False, None]


def test_a_link_in_the_place_of_a_directory_is_told_as_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "nvidia-cuda-mps-control.pid").write_text(f"{os.getpid()}\n")
    (tmp_path / "usual").symlink_to(tmp_path / "real")
    (found,) = mps(tmp_path, {})
    assert (found["kind"], found["daemon"], found["alive"]) == ("link", None, None)


def _named(name: str) -> None:
    with open("/proc/self/comm", "w") as file:
        file.write(name)


def test_a_daemon_lives_while_a_process_of_its_name_has_its_number(tmp_path: Path) -> None:
    usual = tmp_path / "usual"
    usual.mkdir()
    note = usual / "nvidia-cuda-mps-control.pid"
    with holding(lambda: _named("nvidia-cuda-mps-control")) as daemon:
        note.write_text(f"{daemon}\n")
        (found,) = mps(tmp_path, {})
        assert (found["daemon"], found["alive"]) == (daemon, True)
    (found,) = mps(tmp_path, {})
    assert not found["alive"]
    note.write_text(f"{os.getpid()}\n")  # the number was given to another process
    (found,) = mps(tmp_path, {})
    assert found["alive"] is False


@pytest.mark.parametrize("text", ["", "-1\n", "1" * 30, "pid"])
def test_a_number_that_is_none_is_not_believed(tmp_path: Path, text: str) -> None:
    (tmp_path / "usual").mkdir()
    (tmp_path / "usual" / "nvidia-cuda-mps-control.pid").write_text(text)
    (found,) = mps(tmp_path, {})
    assert (found["daemon"], found["alive"]) == (None, None)


def test_a_fifo_in_the_place_of_the_number_blocks_nobody(tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    os.mkfifo(tmp_path / "usual" / "nvidia-cuda-mps-control.pid")
    (found,) = mps(tmp_path, {})
    assert stat.S_ISDIR(os.lstat(found["path"]).st_mode)
    assert (found["daemon"], found["alive"]) == (None, None)


# the document


def test_what_is_shut_is_noted_and_not_taken_for_absent() -> None:
    root = HostRoot(Machine().fact("shared_memory", {"entries": [], "mps": [], "segments": None}))
    found = read_shared_memory(root)
    assert found is not None
    assert found.segments is None
    assert [each.path for each in root.unseen] == ["/proc/sysvipc/shm"]
    assert read_shared_memory(HostRoot(Machine())) is None
