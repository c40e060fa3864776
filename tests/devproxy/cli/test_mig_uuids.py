"""MIG devices by their own UUIDs on recorded hosts: a recording keeps them, an anonymous one has others in their places."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

import pytest

from devproxy.cli.main import main
from devproxy.host.anonymize import anonymize
from devproxy.host.recorded import Recording
from devproxy.host.recording_file import encode, load_recording, save
from tests.bundles import runc_spec_like, write_bundle
from tests.devproxy.cli.test_imports import modules
from tests.hosts.make import RECORDINGS, partitioned

MIG: Final = next(path for path in RECORDINGS if os.path.basename(path) == "mig.tar")
FIRST: Final = "MIG-00000000-d5f3-17b6-20ce-7f9183b4e65a"
SECOND: Final = "MIG-00000001-d5f3-17b6-20ce-7f9183b4e65a"
CUT_UUID: Final = "GPU-a84e2c19-d5f3-17b6-20ce-7f9183b4e65a"


def bundle(directory: Path, value: str, rootfs: str = "empty") -> str:
    config = runc_spec_like()
    config["process"]["env"].append(f"NVIDIA_VISIBLE_DEVICES={value}")
    return write_bundle(directory, config, rootfs)


def written(recording: Recording, path: Path) -> str:
    save(encode(recording, recorded_at=0), str(path))
    return str(path)


def nodes(capsys: pytest.CaptureFixture[str], path: str, host: str) -> list[str]:
    capsys.readouterr()
    assert main(["plan", path, "--host", host, "--json"]) == 0
    return [step["text"] for step in json.loads(capsys.readouterr().out)["steps"] if step["path"].startswith("/dev/nv")]


def refused(capsys: pytest.CaptureFixture[str], path: str, host: str) -> str:
    capsys.readouterr()
    assert main(["plan", path, "--host", host]) == 2
    return capsys.readouterr().err


@pytest.mark.rows("S77", oracle="specification")
def test_s77_the_recordings_answer_of_nvml_says_which_device_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_index = nodes(capsys, bundle(tmp_path / "index", "3:1"), MIG)
    assert by_index[-1] == "node /dev/nvidia-caps/nvidia-cap292 c nvidia-caps:292 0444"
    for number, value in enumerate((SECOND, SECOND.lower(), f"MIG-{CUT_UUID}/2/0")):
        assert nodes(capsys, bundle(tmp_path / str(number), value), MIG) == by_index


def test_what_a_machine_is_recorded_with_is_what_it_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host = written(partitioned().record(), tmp_path / "host.tar")
    assert nodes(capsys, bundle(tmp_path / "b", FIRST), host) == nodes(capsys, bundle(tmp_path / "c", "3:0"), host)


def test_in_an_anonymous_recording_each_has_its_stand_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = anonymize(load_recording(MIG))
    host = written(made.recording, tmp_path / "anonymous.tar")
    for number, (uuid, legacy) in enumerate(((FIRST, "1/0"), (SECOND, "2/0"))):
        other = made.pseudonyms.text(uuid)
        assert other != uuid
        by_index = nodes(capsys, bundle(tmp_path / f"index{number}", f"3:{number}"), host)
        assert nodes(capsys, bundle(tmp_path / f"uuid{number}", other), host) == by_index
        gpu = made.pseudonyms.text(CUT_UUID)
        assert nodes(capsys, bundle(tmp_path / f"old{number}", f"MIG-{gpu}/{legacy}"), host) == by_index
        told = refused(capsys, bundle(tmp_path / f"lost{number}", uuid), host)
        assert f"3:0 ({made.pseudonyms.text(FIRST)}), 3:1 ({made.pseudonyms.text(SECOND)})" in told


def test_a_recording_that_nvml_did_not_answer_for_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    late = {"state": "timeout", "why": "no answer in time", "during": "nvmlInitWithFlags", "seconds": 2.0, "gpus": []}
    host = written(partitioned().fact("nvml", late).record(), tmp_path / "late.tar")
    told = refused(capsys, bundle(tmp_path / "b", FIRST), host)
    assert "and it did not answer: no answer in time from nvmlInitWithFlags within 2.0 s\n" in told
    assert "'devproxy record' keeps the UUIDs where NVML answers" in told


def test_a_recording_without_the_fact_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that an early devproxy made, of which the file does not say that NVML was asked at all."""
    whole = partitioned().record()
    host = written(whole._replace(facts={k: v for k, v in whole.facts.items() if k != "nvml"}), tmp_path / "old.tar")
    told = refused(capsys, bundle(tmp_path / "b", FIRST), host)
    assert "and it is not heard here (facts/nvml.json: ENODATA: the recording does not say)" in told
    assert "'devproxy record' keeps the UUIDs where NVML answers" in told


def test_an_answer_that_is_no_json_is_no_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = partitioned().record()
    host = written(whole._replace(facts={**whole.facts, "nvml": b"{"}), tmp_path / "broken.tar")
    assert "facts/nvml.json: no JSON" in refused(capsys, bundle(tmp_path / "b", FIRST), host)


def test_under_a_lease_a_mig_device_of_its_gpu_is_given_and_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bundle(tmp_path / "b", SECOND)
    free = nodes(capsys, path, MIG)
    monkeypatch.setenv("DEVPROXY_LEASE", CUT_UUID)
    assert nodes(capsys, path, MIG) == free
    monkeypatch.setenv("DEVPROXY_LEASE", "GPU-5d0bb1a7-8f2c-4c1e-9a35-1e7720f6c4b1")
    told = refused(capsys, path, MIG)
    assert "expected a MIG device of this host: it has none" in told


@pytest.mark.programs
def test_only_a_uuid_loads_what_asks_nvml(tmp_path: Path) -> None:
    asks = {f"devproxy.{name}" for name in ("host.ask_nvml", "host.sources.nvml", "plan.nvidia_mig", "process")}
    assert modules(tmp_path, "plan", bundle(tmp_path / "a", "3:1,all"), "--host", MIG).isdisjoint(asks)
    assert modules(tmp_path, "plan", bundle(tmp_path / "b", "3:1,3,0"), "--host", MIG).isdisjoint(asks)
    loaded = modules(tmp_path, "plan", bundle(tmp_path / "c", FIRST), "--host", MIG)
    assert asks - loaded == {"devproxy.process"}  # no program is started for a recording


@pytest.mark.root
def test_a_process_finds_its_own_device_and_verify_agrees(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = bundle(tmp_path / "b", SECOND, "busybox")
    assert main(["run", path, "--host", MIG, "--", "ls", "/dev/nvidia-caps"]) == 0
    assert capfd.readouterr().out.split() == ["nvidia-cap291", "nvidia-cap292"]
    assert main(["verify", path, "--host", MIG, "--text"]) == 0
    assert "nvidia-cap291" in capfd.readouterr().out
