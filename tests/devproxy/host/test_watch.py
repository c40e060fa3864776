"""Watching a machine: real hot-plug (macvtap), drivers that move without an event, CDI specs, machines without uevents."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from devproxy.host import watch as watching
from devproxy.host import watch_hints
from devproxy.host.difference import differences
from devproxy.host.facts import Host, MajorLine
from devproxy.host.sources import cdi_files
from devproxy.host.watch import watch
from devproxy.host.watch_hints import Hints
from tests.hosts import host_with_gpus

ROOT: Final = Path(__file__).parents[3]
# Far longer than anything here takes: the tests wait for what happens, not for a time.
PATIENCE: Final = 60.0


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """A change that is never told fails a test, and does not keep it waiting for ever."""

    def over(*_: object) -> None:
        raise AssertionError("nothing was told")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


HOTPLUG: Final = """
import json, os, subprocess, sys, threading, time
from devproxy.host import watch as watching

def do(*argv):
    subprocess.run(argv, check=True, timeout=30)

do("mount", "-t", "sysfs", "none", "/sys")
do("ip", "tuntap", "add", "dev", "d0", "mode", "tap")
do("ip", "link", "set", "d0", "up")
looked, changes, real, notes = threading.Event(), [], watching._look, []

def look():
    host = real()
    looked.set()
    return host

watching._look = look

def follow():
    for change in watching.watch(interval=600, tell=notes.append):
        changes.append(change)

def wait_for(count):
    end = time.monotonic() + 60
    while len(changes) < count and time.monotonic() < end:
        time.sleep(0.01)

threading.Thread(target=follow, daemon=True).start()
assert looked.wait(60)
do("ip", "link", "add", "link", "d0", "name", "acc0", "type", "macvtap", "mode", "bridge")
wait_for(1)
number = os.stat("/dev/" + changes[0].differences[0].subject.removeprefix("/dev/")).st_rdev if changes else 0
do("ip", "link", "del", "acc0")
wait_for(2)
told = [{"because": c.because, "differences": [d._asdict() for d in c.differences]} for c in changes]
print(json.dumps({"changes": told, "major": os.major(number), "minor": os.minor(number), "notes": notes}))
"""


@pytest.mark.root
def test_a_device_that_is_really_plugged_in_and_out() -> None:
    """macvtap in a network namespace: a dynamic major, a node of devtmpfs, uevents of the kernel. Nothing is polled."""
    argv = ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, "-c", HOTPLUG]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=240, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["notes"] == []
    added, removed = found["changes"]
    (appeared,) = [each for each in added["differences"] if each["kind"] == "node"]
    (gone,) = [each for each in removed["differences"] if each["kind"] == "node"]
    assert appeared["subject"].startswith("/dev/tap")
    assert appeared["before"] is None
    assert appeared["after"].startswith(f"number c {found['major']}:{found['minor']}, mode 0600")
    assert (gone["subject"], gone["before"], gone["after"]) == (appeared["subject"], appeared["after"], None)
    name = appeared["subject"].removeprefix("/dev/")
    assert f"uevent add macvtap {name}" in added["because"]
    assert f"uevent remove macvtap {name}" in removed["because"]


# without uevents, and where /proc/devices alone tells


def reloaded(host: Host, major: int) -> Host:
    character = tuple(line._replace(major=major) if line.name == "nvidia-uvm" else line for line in host.character)
    return host._replace(character=character)


class States:
    """A machine that is in one state after the other, each for one look; the last one for ever."""

    def __init__(self, *hosts: Host) -> None:
        self._hosts = list(hosts)

    def __call__(self) -> Host:
        return self._hosts.pop(0) if len(self._hosts) > 1 else self._hosts[0]


@pytest.fixture
def without_events(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> Any:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(watch_hints, "_new_monitor", refused)


def first(changes: Iterator[Any]) -> Any:
    try:
        return next(changes)
    finally:
        changes.close()  # type: ignore[attr-defined]


def test_where_uevents_are_denied_everything_is_looked_at_and_that_is_told(
    without_events: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = host_with_gpus()
    notes: list[str] = []
    monkeypatch.setattr(watching, "_look", States(host, host, reloaded(host, 499)))
    change = first(watch(interval=0.01, settle=0.01, tell=notes.append))
    assert [each.describe() for each in change.differences] == ["driver nvidia-uvm: major 462 -> 499"]
    assert change.because == ("looked again",)
    assert change.host.major_of("nvidia-uvm") == 499
    assert notes == ["no uevents (Operation not permitted): everything is looked at every 0.01 s"]


def test_a_driver_that_is_loaded_again_is_seen_in_proc_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    host = host_with_gpus()
    texts = iter([b"510 nvidia-uvm", b"510 nvidia-uvm", b"", b"509 nvidia-uvm"])
    last = b"509 nvidia-uvm"
    monkeypatch.setattr(watch_hints, "_text", lambda path: next(texts, last))
    monkeypatch.setattr(watching, "_look", States(host, reloaded(host, 509)))
    notes: list[str] = []
    change = first(watch(interval=0.01, settle=0.02, tell=notes.append))
    assert change.because[0] == "/proc/devices"
    assert change.differences[0].after == "509"


def test_lost_uevents_are_a_hint_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOBUFS: the socket's buffer was full (netlink(7)). The descriptor is a pipe that has something to read."""
    reader, writer = os.pipe()

    class Full:
        def fileno(self) -> int:
            return reader

        def poll(self, timeout: float) -> Any:
            os.read(reader, 1)
            raise OSError(errno.ENOBUFS, "No buffer space available")

    monkeypatch.setattr(watch_hints, "_new_monitor", Full)
    try:
        with Hints() as hints:
            assert hints.wait(0) == ()
            os.write(writer, b".")
            assert hints.wait(60) == ("uevents were lost: No buffer space available",)
    finally:
        os.close(reader)
        os.close(writer)


def test_hints_that_change_nothing_are_not_told(without_events: None, monkeypatch: pytest.MonkeyPatch) -> None:
    host = host_with_gpus()
    same = [host] * 5
    monkeypatch.setattr(
        watching, "_look", States(*same, host._replace(character=(*host.character, MajorLine(9, "st"))))
    )
    change = first(watch(interval=0.001, settle=0.001))
    assert [each.subject for each in change.differences] == ["st"]


@pytest.fixture
def cdi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "cdi"
    monkeypatch.setattr(cdi_files, "_DIRECTORIES", (str(directory),))
    return directory


def edit(spec: Path) -> None:
    spec.write_text("other", encoding="utf-8")


def replace(spec: Path) -> None:
    other = spec.with_suffix(".new")
    other.write_text("four", encoding="utf-8")
    os.rename(other, spec)


@pytest.mark.parametrize(
    ("change", "words"),
    [(edit, "contents 4 characters"), (replace, "contents 4 characters"), (Path.unlink, "is gone"),
     (lambda spec: spec.chmod(0o600), "mode 0644 -> 0600")],
)  # fmt: skip
def test_a_cdi_spec_that_changes(cdi: Path, change: Callable[[Path], None], words: str) -> None:
    cdi.mkdir()
    spec = cdi / "nvidia.yaml"
    spec.write_text("1234", encoding="utf-8")
    spec.chmod(0o644)
    found = _while_watching(lambda: change(spec))
    assert [each.kind for each in found.differences] == ["CDI spec"]
    assert words in found.differences[0].describe()
    assert str(cdi) in found.because


def test_a_directory_of_cdi_specs_that_was_not_there(cdi: Path) -> None:
    def make() -> None:
        cdi.mkdir()
        (cdi / "nvidia.json").write_text("{}", encoding="utf-8")
        (cdi / "README").write_text("no spec", encoding="utf-8")

    found = _while_watching(make)
    assert [each.describe().partition(":")[0] for each in found.differences] == [f"CDI spec {cdi}/nvidia.json appeared"]


def _while_watching(change: Callable[[], object]) -> Any:
    """The first change that is told once `change` was made between two looks."""
    real = watching._look
    looks: list[Host] = []

    def look() -> Host:
        host = real()
        if not looks:
            looks.append(host)
            change()
        return host

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watching, "_look", look)
        return first(watch(interval=0.01, settle=0.01))


# the ends


def test_it_ends_when_the_reader_is_gone() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert list(watch(until_closed=writer)) == []
    finally:
        os.close(writer)


def test_a_reader_that_is_there_ends_nothing() -> None:
    reader, writer = os.pipe()
    try:
        with Hints(writer) as hints:
            hints.wait(0.01)
            assert not hints.closed
    finally:
        os.close(reader)
        os.close(writer)


def started(*arguments: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "devproxy", "probe", "--watch", *arguments]
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert child.stderr is not None
    assert "watching" in child.stderr.readline()
    return child


@pytest.mark.programs
def test_an_interrupt_ends_it_quietly() -> None:
    with started("--text") as child:
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=PATIENCE)
    assert (child.returncode, out, err) == (130, "", "")


@pytest.mark.programs
@pytest.mark.parametrize("form", ["--text", "--json"])
def test_a_dead_pipe_ends_it(form: str) -> None:
    with started(form) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.wait(timeout=PATIENCE) == 0
        assert child.stderr.read() == ""


@pytest.mark.parametrize("wrong", [["--host", "x.tar"], ["--opens"]])
def test_what_cannot_be_watched(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from devproxy.cli.main import main

    assert main(["probe", "--watch", *wrong]) == 2
    assert "--watch follows this machine" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["--text", "--json"])
def test_a_line_for_each_change(form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from devproxy.cli.main import main

    host = host_with_gpus()
    after = reloaded(host, 499)
    change = watching.Change(0.0, differences(host, after), ("/proc/devices",), after)
    monkeypatch.setattr("devproxy.cli.probe_watch.watch", lambda **_: iter([change, change]))
    assert main(["probe", "--watch", form]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    if form == "--json":
        document = json.loads(lines[0])
        assert document["differences"][0]["text"] == "driver nvidia-uvm: major 462 -> 499"
        assert document["because"] == ["/proc/devices"]
    else:
        assert lines[0] == f"{time.strftime('%H:%M:%S', time.localtime(0))} driver nvidia-uvm: major 462 -> 499"
