"""libtpu's lock file: held or not, as the kernel's own list of locks tells, without touching it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.host.live import locks
from devproxy.host.live.accelerators import is_first_pid_namespace
from devproxy.host.live.locks import holder_in
from tests.devproxy.host.live.processes import holding


@pytest.fixture
def lock_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "libtpu_lockfile"
    monkeypatch.setattr(locks, "LOCK_FILE", str(path))
    return path


def only() -> dict[str, Any]:
    document: dict[str, Any] = locks.read()
    (lock,) = document["locks"]
    return lock  # type: ignore[no-any-return]


def test_no_lock_file(lock_file: Path) -> None:
    assert locks.read() == {"locks": []}


def test_a_file_that_nobody_locks(lock_file: Path) -> None:
    lock_file.write_bytes(b"")
    lock_file.chmod(0o640)
    expected = False if is_first_pid_namespace() else None
    wanted = {"held": expected, "kind": "file", "mode": 0o640, "path": str(lock_file), "pid": None, "uid": os.geteuid()}
    assert only() == wanted


@pytest.mark.parametrize("way", ["flock", "lockf"])
def test_whoever_locks_it_is_named(lock_file: Path, way: str) -> None:
    lock_file.write_bytes(b"")

    def lock() -> Any:
        file = open(lock_file, "wb")  # noqa: SIM115 (kept as long as the child lives)
        (fcntl.flock if way == "flock" else fcntl.lockf)(file, fcntl.LOCK_EX)
        return file

    with holding(lock) as pid:
        found = only()
    assert (found["held"], found["pid"]) == (True, pid)
    assert only()["held"] is not True


@pytest.mark.parametrize(("make", "kind"), [(os.mkdir, "directory"), (os.mkfifo, "fifo")])
def test_what_is_no_file_is_not_asked_for_locks(lock_file: Path, make: Any, kind: str) -> None:
    make(lock_file)
    assert (only()["kind"], only()["held"]) == (kind, None)


def test_a_link_is_not_followed(lock_file: Path) -> None:
    lock_file.symlink_to("/dev/null")
    assert only()["kind"] == "link"


LINES = """1: FLOCK  ADVISORY  WRITE 1234 08:01:131074 0 EOF
1: -> FLOCK  ADVISORY  WRITE 99 08:01:7 0 EOF
2: POSIX  ADVISORY  READ -1 00:2a:55 0 9
3: OFDLCK ADVISORY  READ 17 08:01:99 0 EOF
"""


@pytest.mark.parametrize(
    ("device", "inode", "everything", "expected"),
    [
        ((8, 1), 131074, True, (True, 1234)),
        ((8, 1), 7, True, (False, None)),  # a waiter alone: of a lock that is gone by now
        ((0, 0x2A), 55, True, (True, None)),
        ((8, 1), 55, True, (None, None)),  # another device: overlayfs and btrfs say so of the same file
        ((8, 1), 56, False, (None, None)),
        ((8, 1), 99, False, (True, 17)),
    ],
)
def test_lines_of_the_kernel(
    device: tuple[int, int], inode: int, everything: bool, expected: tuple[bool | None, int | None]
) -> None:
    assert holder_in(LINES, os.makedev(*device), inode, everything=everything) == expected


@pytest.mark.property
@given(st.text())
def test_no_text_is_a_traceback(text: str) -> None:
    assert holder_in(text, 0, 1, everything=False)[0] is not False
