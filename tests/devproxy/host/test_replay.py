"""A deep recording of this very machine is the machine: the same probe, the same findings, no difference, nothing lost on the
way through a file.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from devproxy.check.doctor.case import Case
from devproxy.check.doctor.examine import examine
from devproxy.cli.main import main
from devproxy.difference.hosts import compare_hosts
from devproxy.host.anonymize import anonymize
from devproxy.host.facts import Host
from devproxy.host.probe import probe, probe_reader
from devproxy.host.recorded import RecordedReader, Recorder
from devproxy.host.recording_file import encode, load_recording, save
from devproxy.host.root import LiveReader

pytestmark = pytest.mark.programs


@pytest.fixture
def here(tmp_path: Path) -> tuple[Host, str]:
    """What the probe saw, and the file of what it read."""
    path = str(tmp_path / "here.tar")
    with LiveReader() as reader:
        recorder = Recorder(reader)
        host = probe_reader(recorder, name="live", simulated=False, deep=True)
    save(encode(recorder.recording(), recorded_at=0), path)
    return host, path


def test_replaying_it_is_probing(here: tuple[Host, str]) -> None:
    host, path = here
    replayed = probe(path, deep=True)
    assert replayed == host._replace(name="here.tar", simulated=True)
    assert replayed.details is not None


def test_it_does_not_differ_from_the_machine(here: tuple[Host, str]) -> None:
    """What changes from one read to the next is no fact that is compared; processes alone may come and go meanwhile."""
    found = compare_hosts(probe(here[1], deep=True), probe(deep=True))
    assert [line for line in found.lines if not line.minor] == []


def test_the_findings_are_those_of_the_machine(here: tuple[Host, str]) -> None:
    host, path = here
    live, recorded = examine(Case(host)), examine(Case(probe(path, deep=True)))
    assert [finding.code for finding in live.findings] == [finding.code for finding in recorded.findings]


def test_anonymized_it_is_the_same_machine(here: tuple[Host, str]) -> None:
    recording = load_recording(here[1])
    made = anonymize(recording)
    before, after = (
        probe_reader(RecordedReader(each), name="x", simulated=True, deep=True) for each in (recording, made.recording)
    )
    assert [finding.code for finding in examine(Case(before)).findings] == [
        finding.code for finding in examine(Case(after)).findings
    ]
    assert [(device.address, device.driver) for device in before.pci] == [
        (device.address, device.driver) for device in after.pci
    ]
    assert [str(node.number) for node in before.nodes] == [str(node.number) for node in after.nodes]


def test_the_verb_tells_what_it_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "qsomebodyz")
    path = tmp_path / "x.tar"
    assert main(["record", str(path), "--anonymize"]) == 0
    assert "replaced, each with how many different ones: " in capsys.readouterr().err
    data = path.read_bytes()
    assert b"qsomebodyz" not in data
    assert b", anonymized" in data
    assert main(["probe", "--host", str(path), "--text"]) == 0
