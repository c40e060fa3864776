"""/proc/driver/nvidia/params inside of a container (H13)."""

from __future__ import annotations

import pytest

from devproxy.host.facts import Host
from devproxy.oci.configuration import Configuration
from devproxy.plan.plan import Plan
from devproxy.plan.plan_json import to_json
from devproxy.plan.steps import Cover, Seal, SealPath, Step
from tests.devproxy.plan.planning import GPU_HOST, PLAIN, bare, steps_of

UVM = {"path": "/dev/nvidia-uvm", "type": "c", "major": 510, "minor": 0}
PARAMS = (
    ("ResmanDebugLevel", "4294967295"),
    ("ModifyDeviceFiles", "1"),
    ("DeviceFileMode", "438"),
    ("RegistryDwords", ""),
    ("RmMsg", "a: b"),
)


def with_params(*params: tuple[str, str]) -> Host:
    assert GPU_HOST.nvidia is not None
    return GPU_HOST._replace(nvidia=GPU_HOST.nvidia._replace(params=params))


HOST = with_params(*PARAMS)


def covers(host: Host = HOST, *env: str, devices: tuple[object, ...] = (), **options: object) -> list[Cover]:
    config = options.get("config", Configuration())
    assert isinstance(config, Configuration)
    plan = bare(host, config=config, process={"env": list(env)}, linux={"devices": list(devices)})
    return steps_of(plan, Cover)


@pytest.mark.rows("H13", oracle="specification")
def test_h13_a_container_with_gpus_sees_the_hosts_parameters_with_one_that_differs() -> None:
    (cover,) = covers(HOST, "NVIDIA_VISIBLE_DEVICES=0")
    assert cover.path == "/proc/driver/nvidia/params"
    assert cover.mode == 0o444
    assert cover.contents == (
        'ResmanDebugLevel: 4294967295\nModifyDeviceFiles: 0\nDeviceFileMode: 438\nRegistryDwords: ""\nRmMsg: "a: b"\n'
    )
    assert cover.describe() == "cover /proc/driver/nvidia/params 0444 with 103 bytes"
    assert covers(HOST, devices=(UVM,)) == [cover]


@pytest.mark.rows("H13", oracle="specification")
def test_h13_nothing_is_covered_without_gpus_or_where_nothing_would_differ() -> None:
    asked = "NVIDIA_VISIBLE_DEVICES=all"
    assert covers(HOST) == []
    assert covers(HOST, asked, config=Configuration(nvproxy=False)) == []
    assert covers(HOST, devices=(UVM,), config=Configuration(nvproxy=False)) == []
    assert covers(PLAIN, asked) == []
    assert covers(GPU_HOST, asked) == []
    assert covers(with_params(("ModifyDeviceFiles", "0")), asked) == []
    assert covers(with_params(("DeviceFileMode", "438")), asked) == []


@pytest.mark.rows("H13", oracle="specification")
def test_h13_it_is_covered_before_proc_is_sealed() -> None:
    linux = {"readonlyPaths": ["/proc/driver"]}
    plan = bare(HOST, process={"env": ["NVIDIA_VISIBLE_DEVICES=0"]}, linux=linux, root={"readonly": True})
    assert kinds(plan) == [Cover, SealPath, Seal]


def kinds(plan: Plan) -> list[type[Step]]:
    return [type(step) for step in plan.steps if isinstance(step, Cover | SealPath | Seal)]


def test_a_cover_is_in_the_json_with_its_contents() -> None:
    plan = bare(HOST, process={"env": ["NVIDIA_VISIBLE_DEVICES=0"]})
    steps = to_json(plan)["steps"]
    assert isinstance(steps, list)
    (found,) = [step for step in steps if step["step"] == "cover"]
    assert (found["path"], found["mode"]) == ("/proc/driver/nvidia/params", "0444")
    assert "ModifyDeviceFiles: 0\n" in found["contents"]
