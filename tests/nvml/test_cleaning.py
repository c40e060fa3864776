"""What a job set on its GPUs is put back, on the fake's: each setting, by the calls of the real binding, and what cannot be is told."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from devproxy.host.facts import Host
from devproxy.jobs.clean.asked import How, Places
from devproxy.jobs.clean.cleaning import clean
from devproxy.jobs.clean.dirt import Cleaned
from devproxy.jobs.devices import Device, Kind, Wanted
from devproxy.jobs.lease import Asking, acquire
from devproxy.jobs.scope import Scope
from devproxy.jobs.state import State
from tests.nvml.fake import FakeNvml, World, gpu, host_of, machine_of

pytestmark = pytest.mark.programs

GPUS = tuple(
    Device(Kind.GPU, str(gpu(rank)["uuid"]), rank, f"0000:0{rank}:00.0", "H100", 0, None, ()) for rank in range(2)
)
MIG = {"name": "NVIDIA H100 80GB HBM3 MIG 1g.10gb"}


# What the fake told of each world, so that it need not be asked again.
_TOLD: dict[str, object] = {}


class Bench:
    """A machine with two GPUs, of which the first one is the lease's; `before` is what it was."""

    def __init__(self, nvml: FakeNvml, place: Path) -> None:
        self.nvml = nvml
        self.how = How(places=Places(*(str(place / name) for name in ("tmp", "shm", "logs"))))
        self.scope = Scope(os.urandom(16).hex(), os.getuid(), time.time(), GPUS[:1])
        self.before: Host | None = None

    def was(self, world: World) -> None:
        self.nvml.world(world)
        told = repr(world)
        if told not in _TOLD:
            _TOLD[told] = self.nvml.document()
        self.before = host_of(_TOLD[told])

    def becomes(self, **values: object) -> None:
        world = machine_of(2)
        for rank in range(2):
            world[f"gpu {rank}"] |= values
        self.nvml.world(world)

    def clean(self, *, dry_run: bool = False, how: How | None = None) -> Cleaned:
        return clean(self.scope, before=self.before, dry_run=dry_run, how=how or self.how)

    def says(self, rank: int = 0) -> object:
        return self.nvml.ask().gpus[rank]


@pytest.fixture
def bench(nvml: FakeNvml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("DEVPROXY_NVML_SECONDS", "60")
    made = Bench(nvml, tmp_path)
    made.was(machine_of(2, persistence=0))
    return made


CHANGES = [
    ("compute-mode", {"compute_mode": 3}, "exclusive process, and default when the host was recorded before"),
    ("persistence", {"persistence": 1}, "on, and off when the host was recorded before"),
    (
        "clocks",
        {"clock_locked": 210, "clock_memory": 1593},
        "210 MHz, memory 1593 MHz, and 1980 MHz, memory 2619 MHz when",
    ),
    ("clocks", {"clock_locked": 1200}, "1200 MHz, memory 2619 MHz, and 1980 MHz"),
    ("power-limit", {"power_limit_mw": 300000}, "300 W, and 700 W when"),
    ("ecc", {"ecc_pending": 0}, "on, off after the next reset, and on when"),
]


@pytest.mark.parametrize(("kind", "values", "told"), CHANGES)
def test_what_was_set_is_put_back(bench: Bench, kind: str, values: dict[str, object], told: str) -> None:
    assert bench.before is not None
    assert bench.before.details is not None
    well = bench.before.details.nvml.gpus[0]
    bench.becomes(**{"persistence": 0} | values)
    ini = bench.nvml.directory / "nvml.ini"
    text = ini.read_text()
    dry = bench.clean(dry_run=True)
    assert ini.read_text() == text
    cleaned = bench.clean()
    assert [dirt.kind.value for dirt in cleaned.removed] == [kind]
    assert cleaned.removed[0].proof.startswith(told)
    assert (dry.removed, dry.left) == (cleaned.removed, ())
    assert cleaned.left == ()
    assert bench.says() == well
    # The other one is not the lease's, and stays as it is.
    assert {ini.read_text().count(f"{key} = {value}") for key, value in values.items()} == {1}
    assert not bench.clean().removed


def test_everything_at_once_is_put_back(bench: Bench) -> None:
    well = bench.says()
    every = {key: value for _, values, _ in CHANGES for key, value in values.items()}
    bench.becomes(**every)
    assert [dirt.kind.value for dirt in bench.clean().removed] == [
        "compute-mode", "clocks", "power-limit", "ecc", "persistence",
    ]  # fmt: skip
    assert bench.says() == well


class TestMig:
    def test_mig_is_turned_off_when_the_instances_have_gone(self, bench: Bench) -> None:
        """In one GPU instance there are two compute instances."""
        well = machine_of(2, mig=0, mig_at_once=1)
        bench.was(well)
        after = machine_of(2, mig=1, mig_at_once=1)
        after["mig 0.0"] = MIG | {"uuid": "MIG-a", "gi": 3, "ci": 0}
        after["mig 0.1"] = MIG | {"uuid": "MIG-b", "gi": 3, "ci": 1}
        after["mig 0.2"] = MIG | {"uuid": "MIG-c", "gi": 5, "ci": 0}
        bench.nvml.world(after)
        cleaned = bench.clean()
        assert [dirt.kind.value for dirt in cleaned.removed] == ["mig-instance"] * 3 + ["mig-mode"]
        assert cleaned.removed[0].what == f"instance 3/0 1g.10gb of gpu 0 ({GPUS[0].name})"
        assert not cleaned.left
        first, second = bench.nvml.ask().gpus
        assert (first.mig_mode, first.mig, second.mig_mode) == (False, (), True)
        assert not bench.clean().removed

    def test_instances_that_were_there_stay(self, bench: Bench) -> None:
        well = machine_of(1, mig=1)
        well["mig 0.0"] = MIG | {"uuid": "MIG-a", "gi": 3, "ci": 0}
        bench.was(well)
        bench.nvml.world(
            well | {"mig 0.1": MIG | {"uuid": "MIG-b", "gi": 3, "ci": 1}, "mig 0.4": MIG | {"uuid": "MIG-c", "gi": 7}}
        )
        cleaned = bench.clean()
        assert [dirt.what.split()[1] for dirt in cleaned.removed] == ["3/1", "7/0"]
        assert [part.uuid for part in bench.nvml.ask().gpus[0].mig] == ["MIG-a"]

    def test_instances_that_are_gone_are_told_with_the_command(self, bench: Bench) -> None:
        well = machine_of(1, mig=1)
        bench.was(well | {"mig 0.0": MIG | {"uuid": "MIG-a", "gi": 3, "ci": 0}})
        bench.nvml.world(well)
        cleaned = bench.clean()
        assert [dirt.hint for dirt in cleaned.left] == [f"nvidia-smi mig -i {GPUS[0].name} -cgi 1g.10gb -C"]
        assert cleaned.exit_code == 3

    def test_what_needs_a_reset_is_set_and_told(self, bench: Bench) -> None:
        """MIG before Hopper, and ECC that has taken effect."""
        bench.was(machine_of(1, mig=0))
        bench.nvml.world(machine_of(1, mig=1, ecc=0))
        cleaned = bench.clean()
        assert [(dirt.kind.value, dirt.why.rpartition(": ")[2]) for dirt in cleaned.left] == [
            ("mig-mode", "nvidia-smi --gpu-reset"), ("ecc", "nvidia-smi --gpu-reset"),
        ]  # fmt: skip
        found = bench.nvml.ask().gpus[0]
        assert (found.mig_pending, found.health.bounds.ecc_pending) == (False, True)


class TestRefusals:
    @pytest.mark.parametrize(
        ("code", "why"),
        [(4, "NVML says NVML_ERROR_NO_PERMISSION: only root may set it"), (19, "NVML says NVML_ERROR_IN_USE")],
    )
    def test_what_nvml_refuses_is_left_and_told(self, bench: Bench, code: int, why: str) -> None:
        bench.becomes(compute_mode=1, **{"persistence": 0, "error.nvmlDeviceSetComputeMode": code})
        cleaned = bench.clean()
        assert ([dirt.why for dirt in cleaned.left], cleaned.removed, cleaned.exit_code) == ([why], (), 3)

    def test_a_driver_that_crashes_takes_nobody_along(self, bench: Bench) -> None:
        bench.becomes(compute_mode=1, **{"crash.nvmlDeviceSetComputeMode": 1})
        cleaned = bench.clean()
        assert [dirt.why for dirt in cleaned.left] == ["NVML did not say: signal SIGSEGV"]
        assert [dirt.kind.value for dirt in cleaned.removed] == ["persistence"]

    def test_one_that_hangs_neither(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        from devproxy.jobs.clean import nvml_setter

        monkeypatch.setattr(nvml_setter, "_SECONDS", 1.5)
        bench.becomes(compute_mode=1, **{"persistence": 0, "hang.nvmlDeviceSetComputeMode": 1})
        assert [dirt.why for dirt in bench.clean().left] == ["NVML did not say: no answer in time"]

    def test_a_setting_that_does_not_take_is_no_success(self, bench: Bench) -> None:
        """Another limit, of the board's own, holds; the fake takes the call and keeps what it had."""
        bench.becomes(power_limit_mw=300000, **{"persistence": 0, "keeps.power_limit_mw": 1})
        assert bench.clean().left[0].why == "NVML took it and says 300000 all the same, expected 700000"

    def test_what_was_not_told_before_is_not_put_back(self, bench: Bench) -> None:
        bench.nvml.world({"system": {"error.nvmlInitWithFlags": 999}})
        bench.before = host_of(bench.nvml.document())
        bench.becomes(compute_mode=1)
        cleaned = bench.clean()
        assert not cleaned.removed
        assert "NVML did not answer when the host was recorded before" in cleaned.unseen[-1]
        assert cleaned.exit_code == 4

    def test_a_device_that_is_leased_by_now_is_left_alone(self, bench: Bench, tmp_path: Path) -> None:
        bench.becomes(compute_mode=1, persistence=0)
        with State(str(tmp_path / "leases")) as state:
            wish = Asking(GPUS[:1], Wanted(1), ("next",), lambda _: "")
            lease = acquire(state, wish, wait=0, progress=lambda _: None)
            how = bench.how._replace(state=state)
            cleaned = bench.clean(how=how)
            assert [dirt.why for dirt in cleaned.left] == ["the device is leased by now"]
            assert bench.clean(dry_run=True, how=how).left == cleaned.left
            assert [dirt.kind.value for dirt in bench.clean(how=how._replace(held=True)).removed] == ["compute-mode"]
            lease.release()
