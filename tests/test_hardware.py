"""`make hardware` and the tests behind it, on a machine that has no such hardware."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

import devproxy
from devproxy.process import Completed, run

pytestmark = pytest.mark.programs

ROOT = Path(__file__).parent.parent
KINDS = {"gpu": "this host has no NVIDIA GPU", "tpu": "this host has no TPU"}


@pytest.fixture(autouse=True)
def bare() -> None:
    host = devproxy.probe()
    if host.tpus or (host.nvidia is not None and host.nvidia.gpus):
        pytest.skip("this machine has accelerators")


def hwtests(kind: str, *words: str) -> Completed:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib -ra"]
    return run([*command, f"hwtests/{kind}", *words], cwd=str(ROOT), check=False, timeout=120)


@pytest.mark.parametrize("kind", KINDS)
def test_without_hardware_each_is_skipped_and_says_why(kind: str) -> None:
    done = hwtests(kind)
    assert done.code == 0, done.out
    assert "no NVIDIA GPU, no TPU" in done.out
    assert f": {KINDS[kind]}" in done.out
    assert "passed" not in done.out


@pytest.mark.parametrize("kind", KINDS)
def test_required_hardware_that_is_missing_is_a_failure(kind: str) -> None:
    done = hwtests(kind, "--require-hardware")
    assert done.code == 1
    assert "skipped" not in done.out.splitlines()[-1]
    assert f"\n{KINDS[kind]}\n" in done.out


def test_the_evidence_says_what_did_not_run(tmp_path: Path) -> None:
    hwtests("tpu", "--evidence", str(tmp_path / "evidence.tar"))
    with tarfile.open(tmp_path / "evidence.tar") as archive:
        members: dict[str, Any] = {}
        for name in archive.getnames():
            file = archive.extractfile(name)
            assert file is not None
            members[name] = file.read()
    results = json.loads(members["results.json"])
    assert results
    assert {result["outcome"] for result in results} == {"skipped"}
    assert all(KINDS["tpu"] in result["said"] for result in results)
    versions = json.loads(members["versions.json"])
    assert (versions["devproxy"], versions["gpus"], versions["tpus"]) == (devproxy.__version__, [], [])
    recording = tmp_path / "recording.tar"
    recording.write_bytes(members["recording.tar"])
    assert devproxy.probe(str(recording), deep=True).kernel == versions["kernel"]
    with tarfile.open(fileobj=io.BytesIO(members["recording.tar"])) as archive:
        assert archive.getnames()


def test_make_hardware_refuses_a_machine_that_shows_nothing(tmp_path: Path) -> None:
    done = run([str(ROOT / "scripts" / "hardware"), str(tmp_path / "none.tar")], check=False)
    assert done.code == 1
    assert "nothing was tried" in done.err
    assert not (tmp_path / "none.tar").exists()
