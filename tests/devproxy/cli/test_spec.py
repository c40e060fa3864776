"""`devproxy spec`, as a user sees it: the bundle that it writes plans in spec mode."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import devproxy
from devproxy.cli.main import main
from devproxy.host.probe import probe
from devproxy.plan.plan import Mode
from devproxy.plan.steps import Level, MakeNode, Skip
from tests.hosts.make import RECORDINGS

BY_NAME = {os.path.basename(path): path for path in RECORDINGS}


@pytest.mark.rows("H30", oracle="specification")
def test_h30_the_bundle_of_a_gpu_host_plans_in_spec_mode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, host = str(tmp_path / "b"), BY_NAME["host-8gpu.tar"]
    assert main(["spec", bundle, "--host", host]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"devproxy: wrote {bundle}/config.json with 11 devices of host host-8gpu.tar\n"
    assert main(["plan", bundle, "--host", host, "--set", "strict=true"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["mode"] == "spec"
    assert {"node /dev/nvidia7 c nvidia:7 0666 0:0"} <= {step["text"] for step in plan["steps"]}


@pytest.mark.rows("H30", oracle="specification")
@pytest.mark.parametrize("name", BY_NAME)
def test_h30_every_recorded_host_gets_a_bundle_whose_devices_are_all_made(name: str, tmp_path: Path) -> None:
    host = probe(BY_NAME[name])
    assert main(["-q", "spec", str(tmp_path), "--host", BY_NAME[name]]) == 0
    spec = devproxy.load(tmp_path)
    plan = devproxy.plan(spec, host)
    assert (plan.mode is Mode.SPEC) == bool(spec.devices)
    assert not [step for step in plan.steps if isinstance(step, Skip) and step.level is Level.WARNING]
    with devproxy.build(plan) as root:
        made = [outcome for outcome in root.outcomes if isinstance(outcome.step, MakeNode)]
        assert not [outcome.found for outcome in made if outcome.warning]
        for device in spec.devices or ():
            assert device.number is not None
            assert root.stat(device.path).st_rdev == device.number.rdev


def test_gpus_are_chosen_and_what_is_left_out_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spec", str(tmp_path / "a"), "--host", BY_NAME["without-uvm.tar"], "-v"]) == 0
    err = capsys.readouterr().err
    assert "/dev/nvidia0 c 195:0" in err
    assert "warning: left out: /dev/nvidia-uvm" in err
    assert main(["spec", str(tmp_path / "b"), "--host", BY_NAME["host-8gpu.tar"], "--gpus", "none"]) == 0
    assert "with 0 devices" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--gpus", "9"], '--gpus names "9" at position 1'),
        (["--gpus", "0:0"], "expected a MIG device of this host: it has none"),
        (["--host", "/none.tar"], "cannot read the recording"),
    ],
)
def test_what_cannot_be_written_is_code_2_and_leaves_nothing(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["spec", str(tmp_path / "b"), "--host", BY_NAME["host-8gpu.tar"], *words]) == 2
    assert told in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_a_second_time_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["spec", str(tmp_path), "--host", BY_NAME["cpu-only.tar"]]
    assert main(words) == 0
    before = (tmp_path / "config.json").read_bytes()
    assert main(words) == 2
    assert "exists, expected none" in capsys.readouterr().err
    assert (tmp_path / "config.json").read_bytes() == before
