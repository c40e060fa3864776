"""What the comparison with the real library (hwtests/gpu) can see, tried on the fake itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from devproxy.process import run
from hwtests.gpu.calls import CALLS, Answer, differences
from tests.nvml import fake
from tests.nvml.fake import FakeNvml, build, gpu, machine_of, world_of

pytestmark = pytest.mark.programs

ROOT = Path(__file__).parent.parent.parent


def calls_of(nvml: FakeNvml) -> dict[str, Answer]:
    env = {"LD_LIBRARY_PATH": str(nvml.directory)}
    found: dict[str, Answer] = json.loads(run([sys.executable, "-m", "hwtests.gpu.calls"], cwd=str(ROOT), env=env).out)
    return found


def full(nvml: FakeNvml) -> None:
    nvml.world({"system": {}, "gpu 0": gpu(0, nvlinks="1", fabric=3, mig=0, memory_node=0, numa=0)})


def test_every_call_of_the_fake_has_the_size_of_nvml_h(nvml: FakeNvml) -> None:
    full(nvml)
    answers = calls_of(nvml)
    assert {name: answer["code"] for name, answer in answers.items() if answer["code"]} == {}
    for call in CALLS:
        for size, written in zip(call.outs, answers[call.name]["written"], strict=True):
            assert written <= abs(size), call.name
            assert size < 0 or written > size - 4, call.name
    assert differences(answers, answers) == []


def test_another_size_is_a_difference(nvml: FakeNvml) -> None:
    full(nvml)
    answers = calls_of(nvml)
    for name, place, written in (
        ("nvmlDeviceGetMemoryInfo", 0, 32),
        ("nvmlDeviceGetMigMode", 1, 12),
        ("nvmlDeviceGetUUID", 0, 99),
    ):
        other = json.loads(json.dumps(answers))
        other[name]["written"][place] = written
        assert len(differences(other, answers)) == 1


def test_a_call_that_is_missing_or_a_code_that_is_none_is_a_difference(nvml: FakeNvml) -> None:
    full(nvml)
    answers = calls_of(nvml)
    assert differences(answers | {"nvmlDeviceGetUUID": {"code": 4711}}, answers) == [
        "nvmlDeviceGetUUID: code 4711, which is none of nvml.h"
    ]
    build(nvml.directory, without=["nvmlDeviceGetSerial"])
    assert differences(answers, calls_of(nvml)) == ["nvmlDeviceGetSerial: the fake does not have it"]


def test_what_the_real_one_refuses_is_none(nvml: FakeNvml) -> None:
    full(nvml)
    answers = calls_of(nvml)
    assert differences(answers | {"nvmlDeviceGetSerial": {"code": 3}}, answers) == []


def test_a_world_made_of_an_answer_gives_that_answer(nvml: FakeNvml) -> None:
    world = machine_of(3, pids="7,9", load=3, temperature=70, throttle=0x44)
    world["gpu 0"] |= {
        "nvlinks": "101",
        "fabric": 2,
        "fabric_status": 999,
        "numa": "0,1",
        "serial": "none",
        "ecc": "none",
        "clock": "none",
    }
    world["gpu 1"] |= {"mig": 1, "pids": "none", "graphics": "none", "mps": "none", "memory_node": 4}
    world["gpu 2"] |= {"mig": 0, "error.nvmlDeviceGetPowerUsage": 999}
    world["mig 1.3"] = {"uuid": "MIG-a", "gi": 5, "ci": 1, "name": "NVIDIA H100 80GB HBM3 MIG 1g.10gb"}
    nvml.world(world)
    first = nvml.document()
    nvml.world(world_of(first))
    assert nvml.document() | {"seconds": 0} == first | {"seconds": 0}


@pytest.mark.parametrize(("ci", "outcome"), [("1", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_without_a_compiler_ci_fails(
    ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fake, "find_program", lambda name: None)
    monkeypatch.setenv("DEVPROXY_CI", ci)
    with pytest.raises(outcome, match="gcc"):
        build(tmp_path)
