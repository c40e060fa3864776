"""TPUs selected by the environment or listed in the spec, on recorded hosts (S74, S76; H14, H15)."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.errors import InputError
from devproxy.host.facts import Host
from devproxy.host.probe import probe
from devproxy.node import DeviceNumber, Fixed
from devproxy.oci.configuration import Configuration, parse_configuration
from devproxy.oci.load import parse_spec
from devproxy.plan.plan import Mode, Plan
from devproxy.plan.planner import plan
from devproxy.plan.steps import Level, MakeNode, Skip
from tests.bundles import runc_spec_like
from tests.devproxy.plan.planning import BUNDLE, DEFAULTS, GPU_HOST, STRICT, bare, lines, steps_of
from tests.hosts.make import RECORDINGS

HOSTS = {os.path.basename(path).removesuffix(".tar"): probe(path) for path in RECORDINGS}
V4, V5P, MIXED = HOSTS["tpu-v4"], HOSTS["tpu-v5p"], HOSTS["mixed"]
ACCELERATORS = ("node /dev/accel", "node /dev/vfio", "node /dev/nvidia", "node /dev/dri")


def asking(host: Host, *env: str, mode: str = "auto", config: Configuration = DEFAULTS, **changes: Any) -> Plan:
    return bare(host, process={"env": list(env)}, mode=mode, config=config, **changes)


def listing(*paths: str) -> dict[str, Any]:
    return {"devices": [{"path": path, "type": "c", "major": 240, "minor": 0} for path in paths]}


def golden(plan: Plan) -> list[str]:
    return [f"{s.describe()}  # {s.reason}" for s in plan.steps if s.describe().startswith((*ACCELERATORS, "skip"))]


# a plan for each recording


@pytest.mark.rows("S74", "H14", oracle="specification")
@pytest.mark.parametrize(
    ("name", "env", "expected"),
    [
        (
            "tpu-v4",
            "TPU_VISIBLE_CHIPS=2,0",
            [
                (
                    "node /dev/accel2 c like_host(/dev/accel2) 0666"
                    "  # process.env TPU_VISIBLE_CHIPS: 2,0: TPU 2 at 0000:00:06.0"
                ),
                (
                    "node /dev/accel0 c like_host(/dev/accel0) 0666"
                    "  # process.env TPU_VISIBLE_CHIPS: 2,0: TPU 0 at 0000:00:04.0"
                ),
            ],
        ),
        (
            "tpu-v5p",
            "TPU_VISIBLE_DEVICE_PATHS=/dev/vfio/3",
            [
                "node /dev/vfio/vfio c 10:196 0666  # process.env TPU_VISIBLE_DEVICE_PATHS: the chips are vfio's",
                (
                    "node /dev/vfio/3 c like_host(/dev/vfio/3) 0666"
                    "  # process.env TPU_VISIBLE_DEVICE_PATHS: /dev/vfio/3: TPU 3 at 0000:00:07.0"
                ),
            ],
        ),
        (
            "tpu-without-driver",
            "TPU_VISIBLE_CHIPS=7",
            ["skip TPU 7 (0000:00:0b.0)  # process.env TPU_VISIBLE_CHIPS: no driver is bound"],
        ),
        (
            "mixed",
            "TPU_VISIBLE_CHIPS=0",
            ['skip the TPUs of "0"  # process.env TPU_VISIBLE_CHIPS: the host has no TPU'],
        ),
    ],
)
def test_the_plan_for_each_recording(name: str, env: str, expected: list[str]) -> None:
    plan = asking(HOSTS[name], env)
    assert golden(plan) == expected
    assert plan.mode is Mode.DOCKER


@pytest.mark.rows("S74", oracle="specification")
@pytest.mark.parametrize("name", sorted(HOSTS))
def test_tpuproxy_gives_every_tpu_and_nothing_else(name: str) -> None:
    host = HOSTS[name]
    made = {s.path for s in steps_of(asking(host, config=Configuration(tpuproxy=True)), MakeNode)}
    plain = {s.path for s in steps_of(asking(host), MakeNode)}
    expected = {path for chip in host.tpus for path in chip.nodes}
    if any(path.startswith("/dev/vfio/") for path in expected):
        expected.add("/dev/vfio/vfio")
    assert made - plain == expected


def test_a_gpu_is_selected_beside_an_npu_and_a_network_card() -> None:
    plan = asking(MIXED, "NVIDIA_VISIBLE_DEVICES=all")
    assert "/dev/nvidia0" in [step.path for step in steps_of(plan, MakeNode)]
    assert lines(plan, "node /dev/accel", "node /dev/vfio", "node /dev/dri") == []


# the legal subsets


@pytest.mark.rows("S74", oracle="specification")
@given(st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_any_legal_subset_gives_its_nodes_and_any_other_is_refused(chips: list[int]) -> None:
    chosen = list(dict.fromkeys(chips))
    value = ",".join(map(str, chips))
    if len(chosen) == 3:
        with pytest.raises(InputError, match=r"names 3 chips, expected 1, 2 or all 4 of this host"):
            asking(V4, f"TPU_VISIBLE_CHIPS={value}")
    else:
        plan = asking(V4, f"TPU_VISIBLE_CHIPS={value}")
        assert [step.split()[1] for step in lines(plan, "node /dev/accel")] == [f"/dev/accel{n}" for n in chosen]


@pytest.mark.parametrize("word", ["4", "-1", "00", "all", "x", "/dev/accel0", "٣"])
def test_an_unknown_chip_is_refused_with_those_there_are(word: str) -> None:
    with pytest.raises(InputError, match=r"TPU_VISIBLE_CHIPS names .* at position 2.*0 \(0000:00:04\.0\), 1 \("):
        asking(V4, f"TPU_VISIBLE_CHIPS=0,{word}")


@pytest.mark.parametrize("word", ["/dev/accel9", "accel0", "0", "/dev/accel/accel0", "/dev/vfio/vfio", "/dev/null"])
def test_an_unknown_path_is_refused_with_those_there_are(word: str) -> None:
    known = re.escape("/dev/vfio/0 (0000:00:04.0), /dev/vfio/1 (0000:00:05.0)")
    with pytest.raises(InputError, match=f"TPU_VISIBLE_DEVICE_PATHS names .* at position 1.*{known}"):
        asking(V5P, f"TPU_VISIBLE_DEVICE_PATHS={word}")


def test_paths_win_over_chips_and_a_note_says_so() -> None:
    plan = asking(V4, "TPU_VISIBLE_CHIPS=0,1", "TPU_VISIBLE_DEVICE_PATHS=/dev/accel3")
    assert [step.split()[1] for step in lines(plan, "node /dev/accel")] == ["/dev/accel3"]
    (skip,) = steps_of(plan, Skip)
    assert (skip.what, skip.level) == ('the TPUs of "0,1"', Level.NOTE)
    assert (
        str(skip.reason) == "process.env TPU_VISIBLE_CHIPS: process.env TPU_VISIBLE_DEVICE_PATHS is set too, and wins"
    )


# modes


def test_chips_that_are_asked_for_and_missing_are_a_warning_and_an_error_under_strict() -> None:
    with pytest.raises(InputError, match="the host has no TPU"):
        asking(MIXED, "TPU_VISIBLE_CHIPS=0", config=STRICT)
    with pytest.raises(InputError, match="no driver is bound"):
        asking(HOSTS["tpu-without-driver"], "TPU_VISIBLE_CHIPS=0", config=STRICT)
    assert asking(MIXED, config=STRICT._replace(tpuproxy=True)).mode is Mode.DOCKER


@pytest.mark.rows("H15", oracle="specification")
def test_a_listed_tpu_means_spec_and_the_environment_is_told_of() -> None:
    plan = asking(V4, "TPU_VISIBLE_CHIPS=0", "NVIDIA_VISIBLE_DEVICES=all", linux=listing("/dev/accel1"))
    assert plan.mode is Mode.SPEC
    assert lines(plan, *ACCELERATORS) == ["node /dev/accel1 c like_host(/dev/accel1) 0666"]
    why = "linux.devices lists accelerators, so the mode is spec"
    assert [(s.what, s.reason.note) for s in steps_of(plan, Skip)] == [
        ('the GPUs of "all"', why),
        ('the TPUs of "0"', why),
    ]


@pytest.mark.rows("H15", oracle="specification")
@pytest.mark.parametrize(
    ("path", "mode"), [("/dev/vfio/3", Mode.SPEC), ("/dev/vfio/vfio", Mode.NONE), ("/dev/kfd", Mode.NONE)]
)
def test_h15_which_devices_mean_a_tpu(path: str, mode: Mode) -> None:
    assert asking(V5P, linux=listing(path)).mode is mode


@pytest.mark.rows("S74", "H15", oracle="specification")
def test_without_tpuproxy_nothing_is_selected_and_numbers_are_the_specs() -> None:
    config = Configuration(tpuproxy=False)
    plan = asking(V4, "TPU_VISIBLE_CHIPS=0", config=config, linux=listing("/dev/accel1", "/dev/dri/card0"))
    assert plan.mode is Mode.NONE
    assert [(s.what, s.reason.note) for s in steps_of(plan, Skip)] == [('the TPUs of "0"', "tpuproxy is false")]
    (accel, card) = [s for s in steps_of(plan, MakeNode) if s.reason.source.startswith("linux.devices")]
    assert accel.identity == Fixed(DeviceNumber(240, 0))
    assert card.describe() == "node /dev/dri/card0 c like_host(/dev/dri/card0) 0666"


def test_gpus_and_tpus_can_be_selected_together_and_switched_off_one_by_one() -> None:
    both = ("NVIDIA_VISIBLE_DEVICES=0", "TPU_VISIBLE_CHIPS=1")
    host = V4._replace(nvidia=GPU_HOST.nvidia, character=GPU_HOST.character)
    plan = asking(host, *both)
    assert len(lines(plan, "node /dev/nvidia")) >= 3
    assert len(lines(plan, "node /dev/accel")) == 1
    plan = asking(host, *both, config=Configuration(nvproxy=False))
    assert (plan.mode, lines(plan, *ACCELERATORS)) == (Mode.DOCKER, ["node /dev/accel1 c like_host(/dev/accel1) 0666"])
    plan = asking(host, *both, config=Configuration(tpuproxy=False))
    assert (plan.mode, lines(plan, "node /dev/accel")) == (Mode.DOCKER, [])
    assert asking(host, *both, mode="none").mode is Mode.NONE


@pytest.mark.parametrize(("text", "value"), [("auto", None), ("true", True), ("false", False)])
def test_the_key_is_honoured(text: str, value: bool | None) -> None:
    configuration, warnings = parse_configuration(None, [f"tpuproxy={text}", "strict=true"])
    assert (configuration.tpuproxy, warnings) == (value, ())


def test_the_vfio_group_of_a_network_card_does_not_decide_the_mode() -> None:
    """Neither a TPU nor a reason for spec mode: the GPUs that the environment asks for are there."""
    card = [{"path": "/dev/vfio/96", "type": "c", "major": 511, "minor": 0}]
    config = runc_spec_like(process={"env": ["NVIDIA_VISIBLE_DEVICES=all"]})
    config["linux"]["devices"] = card
    made = plan(parse_spec(config, BUNDLE), MIXED)
    assert made.mode is Mode.DOCKER
    assert "/dev/nvidia0" in [step.path for step in made.steps if isinstance(step, MakeNode)]
