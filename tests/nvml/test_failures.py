"""NVML that fails, hangs, crashes or lies: the probe ends in time, with what was told before and the other sources' facts."""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path
from typing import Final

import pynvml
import pytest

from devproxy import process
from devproxy.host.live import nvml as live
from devproxy.host.nvml_facts import NvmlError, NvmlState
from devproxy.host.probe import probe
from devproxy.process import listen
from tests.nvml.fake import LIBRARY, FakeNvml, World, build, gpu, machine_of

pytestmark = pytest.mark.programs

CODES: Final = {
    getattr(pynvml, name): name.removeprefix("NVML_ERROR_") for name in dir(pynvml) if name.startswith("NVML_ERROR_")
}
NOT_SUPPORTED, FUNCTION_NOT_FOUND, GPU_IS_LOST = 3, 13, 15
LOUD: Final = sorted(CODES.keys() - {NOT_SUPPORTED, FUNCTION_NOT_FOUND})
# Each with a fact that it tells, to see that the others are told.
CALLS: Final = (
    "nvmlDeviceGetUUID", "nvmlDeviceGetMinorNumber", "nvmlDeviceGetName", "nvmlDeviceGetSerial", "nvmlDeviceGetPciInfo",
    "nvmlDeviceGetMigMode", "nvmlDeviceGetNumaNodeId", "nvmlDeviceGetPersistenceMode", "nvmlDeviceGetComputeMode",
    "nvmlDeviceGetTemperature", "nvmlDeviceGetTemperatureThreshold", "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetPowerManagementDefaultLimit", "nvmlDeviceGetTotalEccErrors",
    "nvmlDeviceGetCurrPcieLinkGeneration", "nvmlDeviceGetMaxPcieLinkGeneration", "nvmlDeviceGetCurrPcieLinkWidth",
    "nvmlDeviceGetMaxPcieLinkWidth", "nvmlDeviceGetClockInfo", "nvmlDeviceGetMaxClockInfo",
    "nvmlDeviceGetApplicationsClock", "nvmlDeviceGetCurrentClocksThrottleReasons", "nvmlDeviceGetMemoryInfo",
    "nvmlDeviceGetUtilizationRates", "nvmlDeviceGetEccMode", "nvmlDeviceGetRemappedRows", "nvmlDeviceGetMemoryAffinity",
    "nvmlDeviceGetNvLinkState", "nvmlDeviceGetGpuFabricInfo", "nvmlDeviceGetComputeRunningProcesses",
    "nvmlDeviceGetGraphicsRunningProcesses", "nvmlDeviceGetMPSComputeRunningProcesses",
)  # fmt: skip


def test_every_call_of_a_gpu_is_in_the_list_above(nvml: FakeNvml) -> None:
    """So that none is added without a failure being tried."""
    nvml.world({"system": {}, "gpu 0": gpu(0, error=999, **{"error.after": 1})})
    assert {error.call for error in nvml.ask().errors} == {*CALLS}


@pytest.mark.parametrize("code", sorted(CODES), ids=CODES.__getitem__)
def test_init_that_fails_is_named(nvml: FakeNvml, code: int) -> None:
    nvml.world({"system": {"error.nvmlInitWithFlags": code}})
    told = nvml.ask()
    assert (told.state, told.gpus, told.device_count) == (NvmlState.FAILED, (), None)
    assert told.errors == (NvmlError("nvmlInitWithFlags", code, CODES[code]),)


@pytest.mark.parametrize("code", LOUD, ids=CODES.__getitem__)
def test_a_call_that_fails_is_named_with_its_gpu(nvml: FakeNvml, code: int) -> None:
    world = machine_of(2)
    world["gpu 1"]["error.nvmlDeviceGetUUID"] = code
    nvml.world(world)
    told = nvml.ask()
    assert told.state is NvmlState.ANSWERED
    assert told.errors == (NvmlError("nvmlDeviceGetUUID", code, CODES[code], 1),)
    assert [each.uuid for each in told.gpus] == [gpu(0)["uuid"], None]
    assert told.gpus[1].address == "0000:2a:00.0"


@pytest.mark.parametrize("code", [NOT_SUPPORTED, FUNCTION_NOT_FOUND], ids=CODES.__getitem__)
def test_what_is_not_there_is_silent(nvml: FakeNvml, code: int) -> None:
    nvml.world({"system": {}, "gpu 0": gpu(0, error=code, **{"error.after": 1})})
    told = nvml.ask()
    assert (told.state, told.errors) == (NvmlState.ANSWERED, ())
    assert (told.gpus[0].rank, told.gpus[0].uuid, told.gpus[0].pids) == (0, None, None)


def test_each_call_may_fail_alone(nvml: FakeNvml) -> None:
    """One GPU for each call, on which just that one fails."""
    calls = [call for call in CALLS if call not in ("nvmlDeviceGetUUID", "nvmlDeviceGetNvLinkState")]
    world: World = {"system": {}} | {
        f"gpu {rank}": gpu(0, uuid=f"GPU-{rank}", **{f"error.{call}": 999}) for rank, call in enumerate(calls)
    }
    nvml.world(world)
    told = nvml.ask()
    assert [each.uuid for each in told.gpus] == [f"GPU-{rank}" for rank in range(len(calls))]
    assert {(error.gpu, error.call, error.name) for error in told.errors} == {
        (rank, call, "UNKNOWN") for rank, call in enumerate(calls)
    }


@pytest.mark.parametrize(
    "call",
    [
        "nvmlSystemGetDriverVersion",
        "nvmlSystemGetNVMLVersion",
        "nvmlSystemGetCudaDriverVersion",
        "nvmlDeviceGetCount",
    ],
)
def test_a_call_about_the_system_may_fail_alone(nvml: FakeNvml, call: str) -> None:
    nvml.world(machine_of(1) | {"system": {f"error.{call}": 4}})
    told = nvml.ask()
    assert told.errors == (NvmlError(call, 4, "NO_PERMISSION"),)
    assert told.state is NvmlState.ANSWERED
    assert len(told.gpus) == (0 if call == "nvmlDeviceGetCount" else 1)


@pytest.mark.parametrize("after", [0, 1, 2, 5, 12, 30])
def test_a_gpu_that_is_lost_between_two_calls_takes_no_other_along(nvml: FakeNvml, after: int) -> None:
    world = machine_of(8)
    world["gpu 3"] |= {"error": GPU_IS_LOST, "error.after": after}
    nvml.world(world)
    told = nvml.ask()
    assert (told.state, told.device_count) == (NvmlState.ANSWERED, 8)
    assert {error.gpu for error in told.errors} == {3}
    assert {error.name for error in told.errors} == {"GPU_IS_LOST"}
    # The first call is for its handle: without that there is nothing to tell of it.
    assert [each.rank for each in told.gpus] == [rank for rank in range(8) if rank != 3 or after]
    assert all(each.health.temperature == 34 for each in told.gpus if each.rank != 3)
    assert all((each.uuid == world["gpu 3"]["uuid"]) == (after > 1) for each in told.gpus if each.rank == 3)


def test_a_gpu_that_the_library_counts_and_does_not_have(nvml: FakeNvml) -> None:
    nvml.world(machine_of(1) | {"system": {"count": 3}})
    told = nvml.ask()
    assert (told.device_count, len(told.gpus)) == (3, 1)
    assert {(error.gpu, error.name) for error in told.errors} == {(1, "GPU_IS_LOST"), (2, "GPU_IS_LOST")}


def test_a_number_of_gpus_beyond_reason_ends(nvml: FakeNvml) -> None:
    nvml.world(machine_of(1) | {"system": {"count": 0xFFFFFFFF}})
    told = nvml.ask()
    assert (told.state, len(told.gpus)) == (NvmlState.ANSWERED, 1)


# Hangs and crashes


def test_init_that_hangs(nvml: FakeNvml) -> None:
    nvml.world({"system": {"hang.nvmlInitWithFlags": 1}})
    told = nvml.ask_until("nvmlInitWithFlags")
    assert (told.state, told.during, told.during_gpu) == (NvmlState.TIMEOUT, "nvmlInitWithFlags", None)
    assert told.why == "no answer in time"


def test_a_call_that_hangs_leaves_what_was_told(nvml: FakeNvml) -> None:
    world = machine_of(3)
    world["gpu 1"]["hang.nvmlDeviceGetTemperature"] = 1
    nvml.world(world)
    told = nvml.ask_until("nvmlDeviceGetTemperature")
    assert (told.state, told.during, told.during_gpu) == (NvmlState.TIMEOUT, "nvmlDeviceGetTemperature", 1)
    assert [each.uuid for each in told.gpus] == [gpu(rank)["uuid"] for rank in range(3)]
    assert [each.health.temperature for each in told.gpus] == [34, None, None]
    assert (told.driver, told.device_count) == ("550.163.01", 3)


def test_shutdown_that_hangs_leaves_everything(nvml: FakeNvml) -> None:
    nvml.world(machine_of(2) | {"system": {"hang.nvmlShutdown": 1}})
    told = nvml.ask_until("nvmlShutdown")
    assert (told.state, told.during) == (NvmlState.TIMEOUT, "nvmlShutdown")
    assert [each.health.temperature for each in told.gpus] == [34, 34]


def test_a_whole_probe_ends_although_nvml_hangs(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml.world({"system": {"hang.nvmlInitWithFlags": 1}})
    monkeypatch.setenv("DEVPROXY_NVML_SECONDS", "0.5")
    host = probe(deep=True)
    assert host.details is not None
    assert host.details.nvml.state is NvmlState.TIMEOUT
    assert host.major_of("mem") == 1


@pytest.mark.parametrize("call", ["nvmlInitWithFlags", "nvmlDeviceGetSerial", "nvmlShutdown"])
def test_a_crash_is_named_with_its_call(nvml: FakeNvml, call: str) -> None:
    world = machine_of(2)
    world["gpu 1" if "Device" in call else "system"][f"crash.{call}"] = 1
    nvml.world(world)
    told = nvml.ask()
    assert (told.state, told.during) == (NvmlState.FAILED, call)
    assert told.why == "the process that asked ended with signal SIGSEGV"
    assert [each.uuid for each in told.gpus] == ([] if "Init" in call else [gpu(0)["uuid"], gpu(1)["uuid"]])


def test_what_cannot_be_killed_is_not_waited_for(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process inside a driver dies when the driver lets it. Here it does because nobody really kills it."""
    nvml.world({"system": {"hang.nvmlInitWithFlags": 1}})
    with monkeypatch.context() as patched:
        patched.setattr(process, "_end", lambda child: None)
        told = nvml.ask(0.5)
    assert (told.state, told.why) == (NvmlState.TIMEOUT, "no answer in time, and cannot be killed")
    (left,) = process._undying
    left.kill()
    left.wait()
    process._undying.clear()


# Libraries that are none


def test_no_library_starts_no_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.setattr(live, "_DRIVER", ())
    monkeypatch.setattr(live, "_CHILD", "/no/such/program")
    if live.find_library():
        pytest.skip("this machine has the library")
    assert live.ask(1.0)["state"] == "no library"


def test_a_driver_without_a_library_is_asked_all_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The loader may know of places that we do not: it says that there is none."""
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.setattr(live, "_DRIVER", ("/",))
    if live.find_library():
        pytest.skip("this machine has the library")
    told = live.ask(60.0)
    assert (told["state"], told["errors"]) == ("no library", [])
    assert "No such file" in str(told["why"])


def test_a_library_of_another_word_size_is_said_to_be_that(nvml: FakeNvml) -> None:
    path = nvml.directory / LIBRARY
    data = bytearray(path.read_bytes())
    data[4] = 1  # EI_CLASS: 32 bits (elf(5))
    path.write_bytes(data)
    told = nvml.ask()
    assert (told.state, told.errors[0].name) == (NvmlState.FAILED, "LIBRARY_NOT_FOUND")
    assert "ELF" in told.why


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF\x02\x01\x01" + bytes(40)])
def test_a_file_that_is_no_library(nvml: FakeNvml, content: bytes) -> None:
    (nvml.directory / LIBRARY).write_bytes(content)
    told = nvml.ask()
    assert (told.state, told.errors[0].name) == (NvmlState.FAILED, "LIBRARY_NOT_FOUND")


def test_an_older_library_lacks_calls(nvml: FakeNvml) -> None:
    build(nvml.directory, without=["nvmlDeviceGetRemappedRows", "nvmlDeviceGetGpuFabricInfo", "nvmlDeviceGetMigMode"])
    told = nvml.ask()
    assert (told.state, told.errors) == (NvmlState.ANSWERED, ())
    assert [each.health.remap_pending for each in told.gpus] == [None, None]
    assert [each.health.temperature for each in told.gpus] == [34, 34]


def test_an_older_library_tells_processes_by_an_older_call(nvml: FakeNvml) -> None:
    build(nvml.directory, without=[f"nvmlDeviceGet{kind}RunningProcesses_v3" for kind in ("Compute", "MPSCompute")])
    nvml.world(machine_of(1, pids="7,8", graphics="9"))
    told = nvml.ask()
    assert (told.state, told.errors, told.gpus[0].pids) == (NvmlState.ANSWERED, (), (7, 8, 9))


def test_a_library_without_its_first_call(nvml: FakeNvml) -> None:
    build(nvml.directory, without=["nvmlInitWithFlags"])
    assert nvml.ask().errors == (NvmlError("nvmlInitWithFlags", 13, "FUNCTION_NOT_FOUND"),)


# What else the child may say


@pytest.mark.parametrize(
    "noise", ["hello", '{"fact": "device_count", "value": 99, "gpu": "x"}', "[1]", "{", '{"a":' * 99]
)
def test_what_the_library_prints_is_no_answer(nvml: FakeNvml, noise: str) -> None:
    """To every descriptor that it finds."""
    world = machine_of(2)
    world["gpu 0"]["noise.nvmlDeviceGetSerial"] = noise
    nvml.world(world)
    told = nvml.ask()
    assert told.state is NvmlState.ANSWERED
    assert [each.uuid for each in told.gpus] == [gpu(0)["uuid"], gpu(1)["uuid"]]
    assert told.device_count == 2


def test_what_the_library_prints_to_its_standard_output_does_not_reach_us(nvml: FakeNvml) -> None:
    """However much it looks like a fact."""
    lie = '{"fact": "device_count", "value": 99}'
    nvml.world(machine_of(2) | {"system": {"print.nvmlShutdown": lie, "print.nvmlDeviceGetCount": "{"}})
    document = nvml.document()
    assert (document["state"], document["device_count"], "garbage" in document) == ("answered", 2, False)


LINES: Final = b'{"fact": "driver", "value": "550"}\n{"call": "nvmlShutdown"}\n{"end": "answered"}\n'


def test_a_child_that_dies_after_its_last_word_failed() -> None:
    """A library that breaks when it is unloaded has broken."""
    answer = live._Answer(LINES)
    answer.conclude(-11, "signal SIGSEGV")
    assert (answer.document["state"], answer.document["during"]) == ("failed", "nvmlShutdown")
    answer = live._Answer(LINES)
    answer.conclude(0, "code 0")
    assert answer.document["state"] == "answered"


def test_facts_that_nobody_asked_for_are_none() -> None:
    lies = [f'{{"fact": "{name}", "value": 7}}\n'.encode() for name in ("during", "seconds", "gpus", "garbage", "x")]
    answer = live._Answer(b"".join(lies) + LINES)
    answer.conclude(0, "code 0")
    assert {*answer.document} == {"driver", "errors", "gpus", "state", "why"}
    assert answer.document["gpus"] == []


def test_texts_that_are_no_utf8_are_an_error_of_that_call(nvml: FakeNvml) -> None:
    nvml.world({"system": {}, "gpu 0": gpu(0, name="name-xx")})
    ini = nvml.directory / "nvml.ini"
    ini.write_bytes(ini.read_bytes().replace(b"name-xx", b"\xff\xfe"))
    told = nvml.ask()
    assert told.errors == (NvmlError("nvmlDeviceGetName", -1, "UnicodeDecodeError", 0),)
    assert (told.gpus[0].model, told.gpus[0].uuid) == ("", gpu(0)["uuid"])


def test_without_the_binding_it_is_said_what_to_install(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [os.getcwd(), "relative"])
    told = nvml.document()
    assert told["state"] == "failed"
    assert "pip install nvidia-ml-py" in str(told["why"])


def test_the_binding_is_not_taken_from_where_we_are(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It may be a bundle, and `python -m devproxy` looks there first."""
    (tmp_path / "pynvml.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert live.find_binding() == os.path.dirname(pynvml.__file__)
    assert nvml.ask().state is NvmlState.ANSWERED
    assert not (tmp_path / "ran").exists()


def test_nothing_of_the_environment_reaches_the_child_but_where_libraries_are(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_PRELOAD", "/no/such/library.so")
    monkeypatch.setenv("PYTHONPATH", str(nvml.directory))
    monkeypatch.setenv("LD_LIBRARY_PATH", f".::bundle/lib:{nvml.directory}:../x")
    assert live.child_environment() == {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LD_LIBRARY_PATH": str(nvml.directory),
    }
    assert nvml.ask().state is NvmlState.ANSWERED


# Listening to a child


def test_a_child_that_says_too_much_is_ended() -> None:
    heard = listen(["sh", "-c", "while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaa; done"], seconds=60, limit=4000, env={})
    assert (heard.code, len(heard.out), heard.ending) == (None, 4000, "more than 4000 bytes of answer")


def test_a_child_that_closes_its_output_and_stays_is_ended() -> None:
    heard = listen(["sh", "-c", "echo told; exec >&-; sleep 60"], seconds=3, limit=100, env={"PATH": "/usr/bin:/bin"})
    assert (heard.code, heard.out, heard.ending) == (None, b"told\n", "no answer in time")


def test_what_a_child_started_is_ended_with_it(tmp_path: Path) -> None:
    said = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {said}; echo told"
    heard = listen(["sh", "-c", script], seconds=3, limit=100, env={"PATH": "/usr/bin:/bin"})
    assert heard.out == b"told\n"
    try:
        child = os.pidfd_open(int(said.read_text()))
    except ProcessLookupError:
        return
    ended = select.poll()
    ended.register(child, select.POLLIN)
    try:
        assert ended.poll(30_000), "it lives"
    finally:
        os.close(child)


@pytest.mark.parametrize(("script", "ending"), [("exit 3", "code 3"), ("kill -ABRT $$", "signal SIGABRT")])
def test_a_childs_end_is_told(script: str, ending: str) -> None:
    assert listen(["sh", "-c", script], seconds=60, limit=100, env={}).ending == ending
