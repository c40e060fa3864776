"""The one way to read a machine: what is absent, what is unseen, and that a device is never opened."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from devproxy.host.facts import Unseen
from devproxy.host.root import HostRoot, LiveReader
from tests.hosts.machine import Machine


def test_absent_is_an_answer_and_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with LiveReader(str(tmp_path)) as reader:
        root = HostRoot(reader)
        for path in ("/missing", "/missing/below", "/file/below"):
            assert root.read_text(path) is None
            assert root.lstat(path) is None
            assert root.listdir(path) == []
            assert root.follow(path) == path
        assert root.unseen == ()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EIO, errno.ELOOP, errno.EFBIG])
def test_every_other_failure_is_unseen_once(number: int) -> None:
    root = HostRoot(Machine().refuse("/proc/devices", number))
    assert (root.read_text("/proc/devices"), root.read_text("/proc/devices")) == (None, None)
    assert root.unseen == (Unseen("/proc/devices", f"{errno.errorcode[number]}: {os.strerror(number)}"),)


def test_two_reasons_for_one_path_are_both_kept() -> None:
    root = HostRoot(Machine())
    root.note("/a", "one")
    root.note("/a", "two")
    root.note("/a", "one")
    assert root.unseen == (Unseen("/a", "one"), Unseen("/a", "two"))


def test_a_file_larger_than_the_limit_is_not_cut_but_unseen(tmp_path: Path) -> None:
    (tmp_path / "five").write_bytes(b"12345")
    with LiveReader(str(tmp_path)) as reader:
        root = HostRoot(reader)
        assert root.read_text("/five", 5) == "12345"
        assert root.read_text("/five", 4) is None
        assert [unseen.why for unseen in root.unseen] == ["EFBIG: File too large"]


def test_bytes_that_are_no_text_are_shown(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a\xffb")
    with LiveReader(str(tmp_path)) as reader:
        assert HostRoot(reader).read_text("/file") == "a\\xffb"


def test_files_of_proc_that_say_size_zero_are_read_whole() -> None:
    with LiveReader() as reader:
        assert reader.read_bytes("/proc/self/maps", 1 << 20).endswith(b"\n")
        assert (reader.read_bytes("/proc/filesystems", 1 << 20)) == Path("/proc/filesystems").read_bytes()


def test_what_is_no_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/etc/passwd")
    with socket.socket(socket.AF_UNIX) as listener, LiveReader(str(tmp_path)) as reader:
        listener.bind(str(tmp_path / "socket"))
        for name in ("fifo", "link", "socket", "."):
            with pytest.raises(OSError) as error:
                reader.read_bytes(f"/{name}", 100)
            assert error.value.errno == errno.EINVAL, name


def test_a_device_is_never_opened() -> None:
    with LiveReader() as reader, pytest.raises(OSError) as error:
        reader.read_bytes("/dev/zero", 1)
    assert error.value.errno == errno.EINVAL


def test_what_goes_away_after_it_was_opened_is_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "attribute").write_text("x")

    def gone(fd: int, count: int) -> bytes:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    with LiveReader(str(tmp_path)) as reader:
        monkeypatch.setattr(os, "read", gone)
        root = HostRoot(reader)
        assert root.read_text("/attribute") is None
        assert root.unseen == ()


def test_follow_joins_words_and_asks_nobody(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "link").symlink_to("../b/./c")
    (tmp_path / "a" / "absolute").symlink_to("/x")
    with LiveReader(str(tmp_path)) as reader:
        root = HostRoot(reader)
        assert root.follow("/a/link") == "/b/c"
        assert root.follow("/a/absolute") == "/x"
        assert root.follow("/a") == "/a"
        assert root.unseen == ()


@pytest.mark.root
def test_lstat_shows_nodes_with_their_numbers(tmp_path: Path) -> None:
    os.mknod(tmp_path / "node", stat.S_IFBLK | 0o640, os.makedev(259, 70000))
    os.chown(tmp_path / "node", 3, 4)
    os.chmod(tmp_path / "node", 0o4640)
    with LiveReader(str(tmp_path)) as reader:
        assert reader.lstat("/node") == (stat.S_IFBLK | 0o4640, 3, 4, os.makedev(259, 70000))


@pytest.mark.parametrize("document", [b"", b"{", b"[" * 100_000, b"[]", b"1", b'{"a": ' + b"1" * 5000 + b"}"])
def test_a_fact_that_is_no_json_object_is_unseen(document: bytes) -> None:
    class Odd(Machine):
        def read_fact(self, name: str) -> bytes:
            return document

    root = HostRoot(Odd())
    assert root.read_fact("uname") == {}
    assert [unseen.path for unseen in root.unseen] == ["facts/uname.json"]


def test_a_source_that_does_not_exist_has_no_fact() -> None:
    with LiveReader() as reader:
        root = HostRoot(reader)
        assert root.read_fact("horoscope") == {}
        assert root.read_fact("uname")["release"] == os.uname().release
        assert root.unseen == ()
