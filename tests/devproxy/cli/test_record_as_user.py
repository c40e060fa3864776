"""`devproxy record` as an ordinary user, into places that are none, and interrupted: a whole file or nothing."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import devproxy.cli.record
import devproxy.host.anonymize
import devproxy.host.recording_file
import devproxy.host.sources
from devproxy.cli.main import main
from devproxy.host.probe import probe
from devproxy.host.recording_file import load_recording
from tests.unprivileged import as_user

pytestmark = pytest.mark.programs  # a deep probe asks container runtimes for their versions


def told(argv: list[str]) -> tuple[int, str]:
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        return main(argv), err.getvalue()


def prepare() -> None:
    """What a process that gave up root may not be able to load from this interpreter's directories any more."""
    probe(deep=True)
    with contextlib.suppress(Exception):
        told(["record", "/none/x.tar", "--anonymize"])


@pytest.mark.parametrize("anonymize", [False, True])
def test_a_user_records_what_a_user_sees(anonymize: bool) -> None:
    def work(directory: Path) -> Any:
        path = str(directory / "host.tar")
        code, err = told(["record", path, *(["--anonymize"] if anonymize else [])])
        host = probe(path, deep=True)
        return code, err, os.listdir(directory), [f"{each.path}: {each.why}" for each in host.unseen], len(host.nodes)

    code, err, names, unseen, nodes = as_user(work, prepare)
    assert (code, names) == (0, ["host.tar"])
    assert nodes == len(probe().nodes)
    assert all(f"not recorded: {each}" in err for each in unseen), (unseen, err)


def test_a_directory_that_is_not_the_users(tmp_path: Path) -> None:
    def work(directory: Path) -> Any:
        os.mkdir(directory / "closed", 0o500)
        return [told(["record", str(path / "x.tar")]) for path in (directory / "closed", Path("/"), Path("/proc"))]

    for code, err in as_user(work, prepare):
        assert code == 2
        assert "cannot write the recording" in err
        assert "Traceback" not in err


def test_what_is_there_and_no_file_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "link").symlink_to("kept")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name in (
        *(str(tmp_path / name) for name in ("link", "directory", "fifo")),
        "/dev/null",
        "/dev/full",
        f"{tmp_path}/",
    ):
        code, err = told(["record", name])
        assert (code, name in err) == (2, True)
        assert "expected a regular file or a new name" in err
    assert sorted(os.listdir(tmp_path)) == ["directory", "fifo", "kept", "link"]
    assert (tmp_path / "kept").read_text() == "kept"


@pytest.mark.parametrize("delay", [0.05, 0.15, 0.3])
def test_an_interrupt_leaves_the_old_file_or_the_new_one(delay: float, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(b"old")
    child = subprocess.Popen([sys.executable, "-m", "devproxy", "record", str(path)], stderr=subprocess.PIPE)
    time.sleep(delay)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert os.listdir(tmp_path) == ["x.tar"]
    if path.read_bytes() != b"old":
        load_recording(str(path))
    assert child.returncode in (0, 130, -signal.SIGINT, 1), err
    assert child.returncode != 1 or b"KeyboardInterrupt" in err  # before devproxy's first line the interpreter tells it


@pytest.mark.parametrize("where", ["probe_reader", "encode", "save"])
def test_an_interrupt_anywhere_leaves_nothing(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(devproxy.cli.record, where, interrupt)
    assert told(["record", str(tmp_path / "x.tar")])[0] == 130
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, err = told(["record", str(tmp_path / "x.tar")])
    assert code == 2
    assert "No space left on device" in err
    assert os.listdir(tmp_path) == []
