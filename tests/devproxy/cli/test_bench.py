"""`devproxy bench` prints what was measured; the measuring itself is replaced here."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from devproxy.bench import file_systems, hosts, planning, roots
from devproxy.bench.measure import Budget, Row
from devproxy.cli.main import main


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        Row("fast", "peer 1.0", Budget(1, at_least=True), "2/s", "1/s", 2.0),
        Row("slow", "peer 1.0", Budget(0.5), "2.00 ms", "1.00 ms", 2.0),
        Row("absent", "runc", Budget(0.5), note="runc is not installed"),
    ]
    monkeypatch.setattr(planning, "rows", lambda *, quick: iter(rows if quick else rows[:1]))
    for module in (hosts, file_systems, roots):
        monkeypatch.setattr(module, "rows", lambda *, quick: iter(()))


def test_a_table_with_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--quick", "--text"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3].split() == ["fast", "2/s", "1/s", "2.00x", "at", "least", "1x", "within", "peer", "1.0"]
    assert "over" in lines[-2].split()
    assert "not measured: runc is not installed" in lines[-1]


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["machine"].keys() >= {"Linux", "CPUs", "Python"}
    assert [row["verdict"] for row in document["rows"]] == ["within"]
    assert document["rows"][0]["figure"] == 2.0


def test_without_root_the_roots_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    rows = list(roots.rows(quick=True))
    assert [row.peer for row in rows] == ["runc", "crun"] * 4
    assert {row.note for row in rows} == {"building on the kernel needs root"}


def test_without_a_tmpfs_the_kernel_rows_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(file_systems, "find_tmpfs", lambda: None)
    for others in ("_peer_rows", "_growth_rows"):
        monkeypatch.setattr(file_systems, others, lambda count, rounds: iter(()))
    monkeypatch.setattr(file_systems, "_memory_row", lambda count: Row("memory", "-", None, figure=1.0))
    *rows, memory = file_systems.rows(quick=True)
    assert len(rows) == 7
    assert all("tmpfs" in row.note and row.figure is None for row in rows)
    assert memory.verdict == "-"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_one_that_is_ended_removes_what_it_made(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(*, quick: bool) -> Iterator[Row]:
        with tempfile.TemporaryDirectory(dir=tmp_path):
            os.kill(os.getpid(), number)
            yield Row("never", "runc", Budget(0.5), note="it was ended")

    monkeypatch.setattr(roots, "rows", rows)
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended:
        main(["bench"])
    assert ended.value.code == 128 + number
    assert os.listdir(tmp_path) == []
    assert signal.getsignal(number) is before
