"""Which accelerator stands for which after a restore (H28)."""

from __future__ import annotations

from pathlib import Path

import pytest

import devproxy
from devproxy.errors import InputError
from devproxy.host.facts import Host
from devproxy.oci.spec import Process
from devproxy.plan.plan import Mode, Plan
from devproxy.plan.steps import MakeSymlink, Skip
from devproxy.saves.remap import (
    Accelerators,
    Device,
    accelerators_from_json,
    accelerators_of,
    accelerators_to_json,
    for_host,
    pair,
    remapped,
)
from tests.bundles import runc_spec_like, write_bundle
from tests.hosts import host_with_gpus

pytestmark = pytest.mark.rows("H28", oracle="specification")

HOSTS = Path(__file__).parents[2] / "hosts"


def gpu(minor: int, model: str = "H100") -> Device:
    return Device(f"/dev/nvidia{minor}", minor, f"0000:{minor:02x}:00.0", -1, f"GPU-{minor}", model)


def tpu(slot: int, group: int) -> Device:
    node = f"/dev/vfio/{group}" if group >= 0 else f"/dev/accel{slot}"
    return Device(node, 0, f"0000:00:{slot:02x}.0", group, "", "v5p")


def planned(directory: Path, host: Host, env: list[str], devices: list[dict[str, object]] | None = None) -> Plan:
    linux = {**runc_spec_like()["linux"], "devices": devices or []}
    config = runc_spec_like(process={"env": [*env, "PATH=/bin"]}, linux=linux)
    return devproxy.plan(devproxy.load(write_bundle(directory, config, rootfs="empty")), host)


class TestPairs:
    def test_gpus_by_minor_tpus_by_address(self) -> None:
        saved = Accelerators((gpu(0), gpu(3)), (tpu(4, 1), tpu(5, 0)))
        here = Accelerators((gpu(1), gpu(2)), (tpu(8, 7), tpu(9, 3)))
        assert [(old.node, new.node) for old, new in pair(saved, here, "f")] == [
            ("/dev/nvidia0", "/dev/nvidia1"),
            ("/dev/nvidia3", "/dev/nvidia2"),
            ("/dev/vfio/1", "/dev/vfio/7"),
            ("/dev/vfio/0", "/dev/vfio/3"),
        ]

    @pytest.mark.parametrize(
        ("saved", "here", "why"),
        [
            (Accelerators((gpu(0),)), Accelerators(), r"saved with 1 GPUs .*, this plan gives 0: none"),
            (Accelerators((gpu(0),)), Accelerators((gpu(0), gpu(1))), r"this plan gives 2 \(/dev/nvidia0 at"),
            (Accelerators((), (tpu(4, 0),)), Accelerators((), (tpu(4, 0), tpu(5, 1))), "saved with 1 TPUs"),
            (
                Accelerators((), (tpu(4, 0), tpu(5, 0))),
                Accelerators((), (tpu(4, 1), tpu(5, 2))),
                "the saved IOMMU group 0 are in the groups 1 and 2 here: one node cannot stand for two",
            ),
            (
                Accelerators((), (tpu(4, 1), tpu(5, 2))),
                Accelerators((), (tpu(4, 0), tpu(5, 0))),
                "the saved IOMMU groups 1 and 2 are together in the group 0 here",
            ),
        ],
    )
    def test_what_cannot_be_is_told(self, saved: Accelerators, here: Accelerators, why: str) -> None:
        with pytest.raises(InputError, match=why):
            pair(saved, here, "f")

    def test_a_root_without_accelerators_goes_anywhere(self) -> None:
        assert pair(Accelerators(), Accelerators((gpu(0),), (tpu(4, 0),)), "f") == ()

    def test_the_same_groups_by_other_numbers_are_fine(self) -> None:
        saved = Accelerators((), (tpu(4, 0), tpu(5, 0), tpu(6, 1)))
        assert len(pair(saved, Accelerators((), (tpu(4, 9), tpu(5, 9), tpu(6, 2))), "f")) == 3


class TestRecordedHosts:
    @pytest.mark.parametrize("name", ["tpu-v4.tar", "tpu-v5p.tar", "mixed.tar", "before-550.tar"])
    def test_what_a_plan_gives_comes_back_from_a_save(self, name: str, tmp_path: Path) -> None:
        host = devproxy.probe(str(HOSTS / name))
        asked = ["TPU_VISIBLE_CHIPS=0"] if host.tpus else ["NVIDIA_VISIBLE_DEVICES=all"]
        plan = planned(tmp_path, host, asked)
        found = accelerators_of(plan)
        assert found.gpus or found.tpus
        assert accelerators_from_json(accelerators_to_json(found)) == found
        assert remapped(plan, found, "f") == plan

    def test_chips_of_one_host_stand_for_those_of_another(self, tmp_path: Path) -> None:
        host = devproxy.probe(str(HOSTS / "tpu-v5p.tar"))
        first = accelerators_of(planned(tmp_path / "a", host, ["TPU_VISIBLE_CHIPS=0"]))
        last = planned(tmp_path / "b", host, [f"TPU_VISIBLE_CHIPS={len(host.tpus) - 1}"])
        links = [step for step in remapped(last, first, "f").steps if isinstance(step, MakeSymlink)]
        assert (first.tpus[0].node, accelerators_of(last).tpus[0].node) in [(step.path, step.target) for step in links]

    def test_chips_held_by_vfio_and_by_their_own_driver(self, tmp_path: Path) -> None:
        saved = accelerators_of(
            planned(tmp_path / "a", devproxy.probe(str(HOSTS / "tpu-v4.tar")), ["TPU_VISIBLE_CHIPS=0"])
        )
        here = planned(tmp_path / "b", devproxy.probe(str(HOSTS / "tpu-v5p.tar")), ["TPU_VISIBLE_CHIPS=0"])
        steps = remapped(here, saved, "f").steps
        assert [step.what for step in steps if isinstance(step, Skip) and "was v4" in step.what]

    def test_no_link_where_a_name_is_another_devices(self, tmp_path: Path) -> None:
        saved = accelerators_of(planned(tmp_path / "a", host_with_gpus(8), ["NVIDIA_VISIBLE_DEVICES=6,7"]))
        assert [each.minor for each in saved.gpus] == [0, 1]
        here = planned(tmp_path / "b", host_with_gpus(8), ["NVIDIA_VISIBLE_DEVICES=5,6"])
        fitted = remapped(here, saved, "f")
        assert [step for step in fitted.steps if isinstance(step, MakeSymlink)] == [
            step for step in here.steps if isinstance(step, MakeSymlink)
        ]
        (told,) = [step for step in fitted.steps if isinstance(step, Skip) and "saved names" in step.what]
        assert "/dev/nvidia0 is /dev/nvidia1 now, /dev/nvidia1 is /dev/nvidia2 now" in told.what

    def test_a_listed_device_keeps_its_path(self, tmp_path: Path) -> None:
        listed = [{"path": "/dev/nvidia5", "type": "c", "major": 195, "minor": 5}]
        saved = accelerators_of(planned(tmp_path / "a", host_with_gpus(8), [], listed))
        assert saved.gpus[0].uuid.startswith("GPU-")
        here = planned(tmp_path / "b", host_with_gpus(1), [], [{**listed[0], "path": "/dev/nvidia0", "minor": 0}])
        assert here.mode is Mode.SPEC
        links = [step for step in remapped(here, saved, "f").steps if isinstance(step, MakeSymlink)]
        assert ("/dev/nvidia5", "/dev/nvidia0") in [(step.path, step.target) for step in links]


class TestEnvironment:
    def test_an_old_uuid_becomes_the_new_one(self, tmp_path: Path) -> None:
        saved = Accelerators((gpu(0),))
        plan = planned(tmp_path, host_with_gpus(1), ["NVIDIA_VISIBLE_DEVICES=all"])
        new = accelerators_of(plan).gpus[0].uuid
        env = ("CUDA_VISIBLE_DEVICES=GPU-0,MIG-1", "OTHER=GPU-0", "NVIDIA_VISIBLE_DEVICES=all")
        plan = plan._replace(process=Process(("true",), env))
        changed = remapped(plan, saved, "f").process
        assert changed is not None
        assert changed.env == (f"CUDA_VISIBLE_DEVICES={new},MIG-1", "OTHER=GPU-0", "NVIDIA_VISIBLE_DEVICES=all")


class TestBundlesOfAnotherHost:
    """A bundle may name the GPUs of the host that its root was saved on."""

    def _saved(self, tmp_path: Path, count: int) -> Accelerators:
        return accelerators_of(planned(tmp_path / "saved", host_with_gpus(count), ["NVIDIA_VISIBLE_DEVICES=all"]))

    def _elsewhere(self, count: int) -> Host:
        host = host_with_gpus(count)
        assert host.nvidia is not None
        gpus = tuple(each._replace(uuid=f"GPU-new-{each.minor}") for each in host.nvidia.gpus)
        return host._replace(nvidia=host.nvidia._replace(gpus=gpus))

    def test_uuids_become_those_of_this_host(self, tmp_path: Path) -> None:
        saved = self._saved(tmp_path, 2)
        env = [f"NVIDIA_VISIBLE_DEVICES={saved.gpus[1].uuid},{saved.gpus[0].uuid}", "PATH=/bin"]
        spec = devproxy.load(write_bundle(tmp_path / "b", runc_spec_like(process={"env": env}), rootfs="empty"))
        with pytest.raises(InputError, match="GPU"):
            devproxy.plan(spec, self._elsewhere(2))
        fitted = for_host(spec, self._elsewhere(2), saved, "f")
        assert fitted.process is not None
        assert fitted.process.env[0] == "NVIDIA_VISIBLE_DEVICES=GPU-new-1,GPU-new-0"
        assert [each.minor for each in accelerators_of(devproxy.plan(fitted, self._elsewhere(2))).gpus] == [0, 1]

    def test_listed_nodes_become_those_of_this_host(self, tmp_path: Path) -> None:
        device = {"path": "/dev/nvidia5", "type": "c", "major": 195, "minor": 5}
        linux = {**runc_spec_like()["linux"], "devices": [device]}
        spec = devproxy.load(write_bundle(tmp_path / "b", runc_spec_like(linux=linux), rootfs="empty"))
        saved = accelerators_of(devproxy.plan(spec, host_with_gpus(8)))
        fitted = for_host(spec, self._elsewhere(1), saved, "f")
        plan = remapped(devproxy.plan(fitted, self._elsewhere(1)), saved, "f")
        assert [each.node for each in accelerators_of(plan).gpus] == ["/dev/nvidia0"]
        links = [(step.path, step.target) for step in plan.steps if isinstance(step, MakeSymlink)]
        assert ("/dev/nvidia5", "/dev/nvidia0") in links

    def test_which_are_meant_has_to_be_plain(self, tmp_path: Path) -> None:
        saved = self._saved(tmp_path, 2)
        env = [f"NVIDIA_VISIBLE_DEVICES={saved.gpus[1].uuid}"]
        spec = devproxy.load(write_bundle(tmp_path / "b", runc_spec_like(process={"env": env}), rootfs="empty"))
        with pytest.raises(InputError, match="there were 2, this host has 3"):
            for_host(spec, self._elsewhere(3), saved, "f")

    def test_what_names_nothing_of_another_host_stays(self, tmp_path: Path) -> None:
        saved = self._saved(tmp_path, 2)
        env = [f"NVIDIA_VISIBLE_DEVICES={saved.gpus[1].uuid},0"]
        spec = devproxy.load(write_bundle(tmp_path / "b", runc_spec_like(process={"env": env}), rootfs="empty"))
        assert for_host(spec, host_with_gpus(2), saved, "f") == spec
        assert for_host(spec._replace(process=None), self._elsewhere(5), saved, "f") == spec._replace(process=None)
