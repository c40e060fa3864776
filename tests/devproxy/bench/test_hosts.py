"""The figures of probing are measured on what they say, and come out as figures."""

from __future__ import annotations

import pytest

from devproxy.bench import hosts
from devproxy.check.doctor.case import Case
from devproxy.check.doctor.examine import examine
from devproxy.host.probe import probe_reader
from devproxy.host.recorded import RecordedReader
from devproxy.host.recording_file import load_recording


def test_a_thousand_gpus_are_seen_whole_and_sound() -> None:
    eight = load_recording(hosts._RECORDING)
    host = probe_reader(RecordedReader(hosts.with_gpus(eight, 1000)), name="x", simulated=True, deep=True)
    assert host.nvidia is not None
    assert host.details is not None
    assert host.details.devices.links is not None
    assert len(host.details.devices.links) >= 1000
    assert len(host.nvidia.gpus) == len({gpu.uuid for gpu in host.nvidia.gpus}) == 1008
    assert host.unseen == ()
    plain = probe_reader(RecordedReader(eight), name="x", simulated=True, deep=True)
    assert {finding.code for finding in examine(Case(host)).errors} == {
        finding.code for finding in examine(Case(plain)).errors
    }


def test_every_row_has_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "_FEW", 2)
    monkeypatch.setattr(hosts, "_MANY", 4)
    rows = list(hosts.rows(quick=True))
    assert len(rows) == 6
    assert all(row.figure is not None and row.budget is not None for row in rows)
    size = next(row for row in rows if row.what == "the recording's size")
    assert size.verdict == "within"


def test_without_the_sources_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "_RECORDING", "/none/host.tar")
    (row,) = hosts.rows(quick=True)
    assert row.verdict == "not measured"
    assert "run it from the sources" in row.note
