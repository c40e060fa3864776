"""A GPU is leased when it is idle: no process has it open, and NVML tells of no memory in use."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from devproxy.host.device_facts import Holder, Holders
from devproxy.host.facts import PciDevice
from devproxy.host.probe import probe
from devproxy.jobs import busy
from devproxy.jobs.busy import Busy
from devproxy.jobs.devices import Device, Kind
from tests.nvml.fake import FakeNvml, gpu, machine_of

pytestmark = pytest.mark.programs

LOST = 15


def devices() -> tuple[Device, Device]:
    first, second = (
        Device(Kind.GPU, f"GPU-{rank:08x}-0000-4000-8000-000000000000", rank, address, "H100", 0, 80 << 30, ())
        for rank, address in enumerate(("0000:18:00.0", "0000:2a:00.0"))
    )
    return first, second


@pytest.fixture
def looking(nvml: FakeNvml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Busy:
    """On this machine with the fake library, never content with what it was told before."""
    monkeypatch.setattr(busy, "_KEEP", 0.0)
    monkeypatch.setenv("DEVPROXY_NVML_SECONDS", "60")
    return Busy(probe(), str(tmp_path / "quarantine"))


def test_one_whose_memory_is_in_use_is_passed_over_until_it_is_free(nvml: FakeNvml, looking: Busy) -> None:
    first, second = devices()
    nvml.world(machine_of(2) | {"gpu 0": gpu(0, memory_used=7 << 30)})
    assert looking.why(first) == "without a holder, but with 7168 of 81559 MiB of its memory in use"
    assert looking.why(second) == ""
    nvml.world(machine_of(2) | {"gpu 0": gpu(0, memory_used=3 << 20)})
    assert looking.why(first) == ""


def test_one_that_is_lost_is_passed_over(nvml: FakeNvml, looking: Busy) -> None:
    first, second = devices()
    nvml.world(machine_of(2) | {"gpu 1": gpu(1, error=LOST)})
    assert looking.why(first) == ""
    assert looking.why(second) == "lost, says NVML"


def test_what_was_not_seen_is_told_where_neither_processes_nor_memory_could_be(
    nvml: FakeNvml, looking: Busy, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = devices()
    nvml.world(machine_of(2) | {"gpu 1": gpu(1, **{"error.nvmlDeviceGetMemoryInfo": 3})})
    assert [looking.why(device) for device in (first, second)] == ["", ""]
    for complete in (True, False):
        monkeypatch.setattr(looking, "_complete", complete)
        assert looking.unseen(first) == ""
        assert bool(looking.unseen(second)) is not complete


def test_one_that_has_left_the_bus_since_the_probe_is_passed_over(nvml: FakeNvml, tmp_path: Path) -> None:
    first, second = devices()
    nvml.world(machine_of(2))
    address = "ffff:00:1f.7"  # nobody's
    gone = PciDevice(address, 0x10DE, 0x2330, 0x030200, "nvidia", -1, "sysfs")
    looking = Busy(probe()._replace(pci=(gone,)), str(tmp_path / "quarantine"))
    assert looking.why(first._replace(address=address)) == "gone from the bus"
    assert looking.why(second) == ""


def test_what_we_have_open_ourselves_is_free_and_so_is_its_memory(
    nvml: FakeNvml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that has used CUDA keeps the device open, with memory in use, until its end."""
    monkeypatch.setattr(busy, "_KEEP", 0.0)
    monkeypatch.setenv("DEVPROXY_NVML_SECONDS", "60")
    nvml.world(machine_of(2) | {"gpu 0": gpu(0, memory_used=7 << 30)})
    device = devices()[0]._replace(nodes=("/dev/nvidia0",))
    holders = [Holder(pid, "python3", 0, 0, ("/dev/nvidia0",)) for pid in (os.getpid(), 7)]
    ours = Busy(probe(), str(tmp_path / "quarantine"), is_ours=lambda pid: pid in (os.getpid(), 7))
    alone = Busy(probe(), str(tmp_path / "quarantine"))
    for found, expected in ((holders, "held by python3 (pid 7)"), (holders[:1], "")):
        monkeypatch.setattr(busy, "read_holders", lambda _, found=found: Holders(tuple(found), complete=True))
        assert ours.why(device) == ""
        assert alone.why(device) == expected


def test_who_has_ended_is_looked_for_again_at_once(
    nvml: FakeNvml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was seen a moment ago is good for a while, but not of a process that has ended: its child may have the device."""
    monkeypatch.setattr(busy, "_good_until", lambda _: float("inf"))
    monkeypatch.setenv("DEVPROXY_NVML_SECONDS", "60")
    nvml.world(machine_of(2))
    device = devices()[0]._replace(nodes=("/dev/nvidia0",))
    sleepers = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    seen = [[Holder(each.pid, "sleep", 0, 0, device.nodes)] for each in sleepers]
    looks = iter([*seen, []])
    monkeypatch.setattr(busy, "read_holders", lambda _: Holders(tuple(next(looks)), complete=True))
    looking = Busy(probe(), str(tmp_path / "quarantine"))
    for sleeper in sleepers:
        for _ in range(3):
            assert looking.why(device) == f"held by sleep (pid {sleeper.pid})"
        sleeper.kill()
        sleeper.wait()
    assert looking.why(device) == ""
