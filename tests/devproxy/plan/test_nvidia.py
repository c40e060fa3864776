"""Modes, and the GPUs that the environment selects (S72, S76 to S79)."""

from __future__ import annotations

from typing import Any

import pytest

from devproxy.errors import InputError
from devproxy.host.facts import Host
from devproxy.node import OfDriver
from devproxy.oci.configuration import Configuration
from devproxy.plan.plan import Mode, Plan
from devproxy.plan.steps import Level, MakeNode, Skip
from tests.devproxy.plan.planning import (
    DEFAULTS,
    GPU_HOST,
    GPUS,
    NVIDIA_MAJORS,
    PLAIN,
    STRICT,
    bare,
    gpu,
    machine,
    mount,
    steps_of,
)

UVM = {"path": "/dev/nvidia-uvm", "type": "c", "major": 510, "minor": 0}


def asking(value: str | None, host: Host = GPU_HOST, **changes: Any) -> Plan:
    env = ["A=1"] + ([] if value is None else [f"NVIDIA_VISIBLE_DEVICES={value}"])
    return bare(host, process={"env": env}, **changes)


def nodes(plan: Plan) -> list[str]:
    """The NVIDIA nodes that are made with /dev."""
    return [
        step.describe()
        for step in steps_of(plan, MakeNode)
        if step.reason.source == "process.env NVIDIA_VISIBLE_DEVICES"
    ]


CONTROL = ["node /dev/nvidiactl c nvidia:255 0666", "node /dev/nvidia-uvm c nvidia-uvm:0 0666"]


@pytest.mark.rows("S77", "S79", "H9", oracle="specification")
@pytest.mark.parametrize(
    ("value", "minors"),
    [
        ("all", [1, 0]),
        ("0", [1]),
        ("1", [0]),
        ("1,0", [0, 1]),
        ("0,0", [1]),
        (" 0 ,, 1,", [1, 0]),
        ("00", [1]),
        (f"{GPUS[1].uuid}", [0]),
        (f"{str(GPUS[1].uuid).upper()},1", [0]),
        (f"0,{str(GPUS[0].uuid).lower()}", [1]),
        ("none", []),
    ],
)
def test_s77_s79_the_selected_gpus_get_their_nodes_by_device_minor(value: str, minors: list[int]) -> None:
    plan = asking(value)
    assert plan.mode is Mode.DOCKER
    assert nodes(plan) == CONTROL + [f"node /dev/nvidia{minor} c nvidia:{minor} 0666" for minor in minors]


@pytest.mark.rows("S79", oracle="specification")
def test_s79_the_nodes_come_with_dev_before_what_is_mounted_below_it() -> None:
    plan = asking("all", mounts=[mount("/dev/shm")])
    texts = [step.describe() for step in plan.steps]
    assert texts.index("node /dev/fuse c 10:229 0666") < texts.index(CONTROL[0])
    assert texts.index("node /dev/nvidia0 c nvidia:0 0666") < texts.index("mount tmpfs at /dev/shm")


@pytest.mark.rows("S76", oracle="specification")
@pytest.mark.parametrize("value", [None, "", "void", " , "])
def test_s76_nothing_asked_is_mode_none(value: str | None) -> None:
    plan = asking(value)
    assert plan.mode is Mode.NONE
    assert nodes(plan) == []
    assert not steps_of(plan, Skip)


@pytest.mark.rows("S77", "H9", oracle="specification")
@pytest.mark.parametrize(
    "value",
    ["2", "0,7", "x", "GPU-00000000", "0000:01:00.0", "-1", "+0", "1e0", "٣", "GPU-" + "0" * 5000, "0" * 5000 + "9"],
)
def test_s77_an_id_that_names_no_gpu_is_refused_with_what_there_is(value: str) -> None:
    with pytest.raises(InputError) as error:
        asking(value)
    message = error.value.message
    assert f"at position {value.count(',') + 1}" in message
    assert f"0 ({GPUS[0].uuid}), 1 ({GPUS[1].uuid})" in message
    assert len(message) < 400


@pytest.mark.rows("S77", oracle="specification")
def test_s77_on_a_host_without_gpus_no_id_is_right() -> None:
    with pytest.raises(InputError, match="expected a GPU of this host: it has none"):
        asking("0", PLAIN)


def test_a_host_whose_drivers_were_not_seen_is_not_said_to_have_none() -> None:
    made = asking("all", GPU_HOST._replace(character=()))
    told = [step.reason.note for step in steps_of(made, Skip) if "GPUs" in step.what]
    assert told == ["/proc/devices of the host was not seen, so whether it has an NVIDIA driver cannot be told"]


@pytest.mark.parametrize(("value", "level"), [("all", Level.WARNING), ("none", Level.NOTE)])
def test_a_host_without_a_driver_gives_no_gpus_and_says_so(value: str, level: Level) -> None:
    plan = asking(value, PLAIN)
    assert plan.mode is Mode.DOCKER
    assert nodes(plan) == []
    assert [(step.level, step.reason.note) for step in steps_of(plan, Skip)] == [
        (level, "the host has no NVIDIA driver")
    ]


def test_a_gpu_without_a_device_minor_is_a_warning() -> None:
    plan = asking("all", machine((gpu(0, None), gpu(1, 0)), NVIDIA_MAJORS))
    assert nodes(plan) == [*CONTROL, "node /dev/nvidia0 c nvidia:0 0666"]
    assert [step.level for step in steps_of(plan, Skip)] == [Level.WARNING]
    with pytest.raises(InputError, match="GPU 0"):
        asking("all", machine((gpu(0, None),), NVIDIA_MAJORS), config=STRICT)


def test_a_gpu_without_a_uuid_is_named_by_its_address() -> None:
    with pytest.raises(InputError, match=r"0 \(0000:01:00\.0\)"):
        asking("5", machine((gpu(0, 0, uuid=""),), NVIDIA_MAJORS))


def test_every_selected_node_says_why() -> None:
    reasons = [str(s.reason) for s in steps_of(asking("1"), MakeNode) if isinstance(s.identity, OfDriver)]
    assert reasons[-1] == "process.env NVIDIA_VISIBLE_DEVICES: 1: GPU 1 at 0000:02:00.0"


def test_a_dev_that_is_bound_gets_no_nodes() -> None:
    plan = asking("all", mounts=[mount("/dev", "bind")])
    assert plan.mode is Mode.DOCKER
    assert nodes(plan) == []
    assert "the contents of /dev" in [step.what for step in steps_of(plan, Skip)]


# modes


@pytest.mark.rows("S76", "H6", oracle="specification")
@pytest.mark.parametrize(
    ("asked", "env", "devices", "config", "mode"),
    [
        ("auto", None, [], Configuration(), Mode.NONE),
        ("auto", "all", [], Configuration(), Mode.DOCKER),
        ("auto", None, [UVM], Configuration(), Mode.SPEC),
        ("auto", "all", [UVM], Configuration(), Mode.SPEC),
        ("auto", "all", [UVM], Configuration(nvproxy=False), Mode.NONE),
        ("auto", "all", [], Configuration(nvproxy=False), Mode.NONE),
        ("auto", "all", [], Configuration(nvproxy_docker=False), Mode.NONE),
        ("auto", "all", [], Configuration(nvproxy=True, nvproxy_docker=True), Mode.DOCKER),
        ("docker", "all", [UVM], Configuration(), Mode.DOCKER),
        ("docker", None, [], Configuration(), Mode.DOCKER),
        ("docker", "all", [], Configuration(nvproxy=False), Mode.NONE),
        ("spec", "all", [], Configuration(), Mode.SPEC),
        ("none", "all", [], Configuration(), Mode.NONE),
        ("none", None, [UVM], Configuration(), Mode.NONE),
    ],
)
def test_s76_what_the_mode_comes_to(
    asked: str, env: str | None, devices: list[dict[str, Any]], config: Configuration, mode: Mode
) -> None:
    plan = asking(env, mode=asked, config=config, linux={"devices": devices})
    assert plan.mode is mode
    assert bool(nodes(plan)) == (mode is Mode.DOCKER and env is not None)


@pytest.mark.parametrize(
    ("asked", "env", "config", "note"),
    [
        ("docker", None, Configuration(), "NVIDIA_VISIBLE_DEVICES asks for none"),
        ("none", "all", Configuration(), "the mode is none"),
        ("spec", "all", Configuration(), "the mode is spec"),
        ("auto", "all", Configuration(nvproxy=False), "nvproxy is false"),
        ("auto", "all", Configuration(nvproxy_docker=False), "nvproxy-docker is false"),
    ],
)
def test_what_the_mode_leaves_out_is_noted(asked: str, env: str | None, config: Configuration, note: str) -> None:
    plan = asking(env, mode=asked, config=config)
    assert [(step.level, step.reason.note) for step in steps_of(plan, Skip)] == [(Level.NOTE, note)]


def test_an_environment_that_is_not_used_may_name_anything() -> None:
    assert asking("MIG-1,99", mode="none").mode is Mode.NONE


@pytest.mark.rows("S78", oracle="specification")
@pytest.mark.parametrize("spec_mode", [False, True])
def test_s78_a_driver_of_unknown_version_is_a_warning(spec_mode: bool) -> None:
    assert GPU_HOST.nvidia is not None
    unknown = GPU_HOST._replace(nvidia=GPU_HOST.nvidia._replace(version=""))

    def plan_for(host: Host, config: Configuration = DEFAULTS) -> Plan:
        if spec_mode:
            return bare(host, config=config, linux={"devices": [UVM]})
        return bare(host, config=config, process={"env": ["NVIDIA_VISIBLE_DEVICES=0"]})

    def told(plan: Plan) -> list[str]:
        return [step.what for step in steps_of(plan, Skip) if step.level is Level.WARNING]

    assert told(plan_for(GPU_HOST)) == []
    assert told(plan_for(unknown)) == ["the NVIDIA driver's version"]
    assert told(bare(unknown)) == []
    with pytest.raises(InputError, match="the NVIDIA driver's version"):
        plan_for(unknown, STRICT)
