"""What the library says reaches the facts, through the real nvidia-ml-py and a real child process."""

from __future__ import annotations

import pytest

from devproxy.host.live import nvml as live
from devproxy.host.live_facts import read_live_fact
from devproxy.host.nvml_facts import NvmlBounds, NvmlHealth, NvmlMig, NvmlState
from devproxy.host.probe import probe_reader
from devproxy.host.recorded import RecordedReader, Recorder
from tests.hosts.machine import Machine as PlainMachine
from tests.nvml.fake import FakeNvml, gpu, machine_of

pytestmark = pytest.mark.programs


def test_a_healthy_machine_is_told_whole(nvml: FakeNvml) -> None:
    nvml.world(
        {
            "system": {"driver": "550.163.01", "cuda": 12040},
            "gpu 0": gpu(0, serial="165", nvlinks="111", fabric=3, numa=1, load=7, throttle=0x405, memory_node=2),
        }
    )
    told = nvml.ask()
    assert (told.state, told.driver, told.cuda, told.library) == (
        NvmlState.ANSWERED, "550.163.01", "12.4", "12.550.163.01",
    )  # fmt: skip
    assert (told.device_count, told.errors, told.why, told.during) == (1, (), "", "")
    assert 0 < told.seconds < 60
    only = told.gpus[0]
    assert (only.rank, only.address, only.uuid, only.minor) == (0, "0000:18:00.0", gpu(0)["uuid"], 0)
    assert (only.model, only.serial, only.mig_mode, only.mig) == ("NVIDIA H100 80GB HBM3", "165", None, ())
    assert (only.pids, only.numa_node, only.memory_node, only.fabric) == ((), 1, 2, "completed")
    assert only.health == NvmlHealth(
        memory_total=85520809984, memory_used=0, temperature=34, power=71.25, power_limit=700.0, ecc_uncorrected=0,
        remap_pending=False, remap_failed=False, pcie_generation=5, pcie_generation_most=5, pcie_width=16,
        pcie_width_most=16, clock_sm=345, clock_sm_locked=1980, compute_mode="default", persistence=True,
        throttle=("gpu-idle", "sw-power-cap", "reliability"), nvlinks=(True, True, True), load=7,
        bounds=NvmlBounds(700.0, 89, 92, 1980, True, 0, 2619, True),
    )  # fmt: skip


def test_eight_gpus_of_which_two_have_another_minor_than_index(nvml: FakeNvml) -> None:
    nvml.world(machine_of(8))
    told = nvml.ask()
    assert [each.minor for each in told.gpus] == [0, 1, 3, 2, 4, 5, 6, 7]
    assert [each.rank for each in told.gpus] == list(range(8))
    assert len({each.uuid for each in told.gpus}) == 8


def test_no_gpu_is_an_answer(nvml: FakeNvml) -> None:
    nvml.world({"system": {}})
    told = nvml.ask()
    assert (told.state, told.device_count, told.gpus) == (NvmlState.ANSWERED, 0, ())


def test_sparse_mig_devices_keep_their_indices(nvml: FakeNvml) -> None:
    world = machine_of(2)
    world["gpu 1"]["mig"] = 1
    world["mig 1.0"] = {"uuid": "MIG-a", "gi": 1, "ci": 0, "name": "NVIDIA H100 80GB HBM3 MIG 3g.40gb"}
    world["mig 1.4"] = {"uuid": "MIG-b", "gi": 9, "ci": 1, "name": "none"}
    nvml.world(world)
    told = nvml.ask()
    assert (told.gpus[0].mig_mode, told.gpus[0].mig) == (None, ())
    assert told.gpus[1].mig_mode is True
    assert told.gpus[1].mig == (NvmlMig(0, "MIG-a", 1, 0, "3g.40gb"), NvmlMig(4, "MIG-b", 9, 1, ""))
    assert told.errors == ()


def test_mig_that_is_supported_and_off(nvml: FakeNvml) -> None:
    nvml.world(machine_of(1, mig=0))
    assert (nvml.ask().gpus[0].mig_mode, nvml.ask().gpus[0].mig) == (False, ())


def test_processes_are_those_of_every_kind(nvml: FakeNvml) -> None:
    nvml.world(machine_of(1, pids="4242:512,4243:1", graphics="17", mps="4242"))
    assert nvml.ask().gpus[0].pids == (17, 4242, 4243)


def test_processes_that_cannot_be_told_are_not_none(nvml: FakeNvml) -> None:
    nvml.world(machine_of(1, pids="none", graphics="none", mps="none"))
    assert nvml.ask().gpus[0].pids is None


def test_links_that_are_down_and_a_fabric_that_failed(nvml: FakeNvml) -> None:
    nvml.world(machine_of(1, nvlinks="101", fabric=2, fabric_status=999))
    told = nvml.ask().gpus[0]
    assert (told.health.nvlinks, told.fabric) == ((True, False, True), "in progress: UNKNOWN")


@pytest.mark.parametrize(("mode", "word"), [(0, "default"), (2, "prohibited"), (3, "exclusive process"), (9, "mode 9")])
def test_compute_modes_have_names(nvml: FakeNvml, mode: int, word: str) -> None:
    nvml.world(machine_of(1, compute_mode=mode))
    assert nvml.ask().gpus[0].health.compute_mode == word


def test_what_a_gpu_does_not_have_is_not_told_and_no_error(nvml: FakeNvml) -> None:
    keys = (
        "temperature", "shutdown", "slowdown", "power_mw", "power_limit_mw", "power_default_mw", "pcie_gen", "pcie_width",
        "pcie_gen_most", "pcie_width_most", "clock", "clock_most", "clock_locked", "clock_memory", "throttle", "ecc", "ecc_volatile",
        "ecc_aggregate", "remap_pending", "persistence", "compute_mode", "memory", "load", "serial", "minor", "uuid",
    )  # fmt: skip
    nvml.world({"system": {}, "gpu 0": gpu(0) | dict.fromkeys(keys, "none")})
    told = nvml.ask()
    assert (told.state, told.errors) == (NvmlState.ANSWERED, ())
    assert told.gpus[0].health == NvmlHealth()
    assert (told.gpus[0].uuid, told.gpus[0].minor, told.gpus[0].serial) == (None, None, "")


def test_seconds_may_be_given(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nonsense counts for nothing."""
    asked: list[float] = []
    monkeypatch.setattr(live, "ask", asked.append)
    for given in ("30", "0.5", "soon", "-1", "0", "nan", "1e9", ""):
        monkeypatch.setenv("DEVPROXY_NVML_SECONDS", given)
        live.read()
    monkeypatch.delenv("DEVPROXY_NVML_SECONDS")
    live.read()
    assert asked == [30.0, 0.5, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]


def test_asking_twice_says_the_same(nvml: FakeNvml) -> None:
    nvml.world(machine_of(3, nvlinks="11"))
    first, second = nvml.document(), nvml.document()
    assert first | {"seconds": 0} == second | {"seconds": 0}


def test_a_recording_says_what_the_library_said(nvml: FakeNvml) -> None:
    """The library is gone by then."""

    class Machine(PlainMachine):
        def read_fact(self, name: str) -> bytes:
            return read_live_fact(name) if name == "nvml" else super().read_fact(name)

    world = machine_of(2, nvlinks="11", fabric=3, numa="0,1")
    world["gpu 1"] |= {"error": 15, "error.after": 9}
    nvml.world(world)
    recorder = Recorder(Machine())
    told = probe_reader(recorder, name="machine", simulated=False, deep=True)
    nvml.world({"system": {"error.nvmlInitWithFlags": 9}})
    replayed = probe_reader(RecordedReader(recorder.recording()), name="machine", simulated=False, deep=True)
    assert told.details is not None
    assert {error.gpu for error in told.details.nvml.errors} == {1}
    assert replayed.details == told.details
