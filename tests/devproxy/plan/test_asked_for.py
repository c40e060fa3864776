"""What turns GPUs and TPUs on: the configuration, annotations, devices, the environment, NVIDIA's hooks (H6, H7, H15)."""

from __future__ import annotations

import os
from typing import Any

import pytest

from devproxy.errors import InputError
from devproxy.host.probe import probe
from devproxy.oci.configuration import Configuration, parse_configuration
from devproxy.oci.nvidia_env import visible_devices
from devproxy.plan.plan import Mode, Plan
from devproxy.plan.steps import Level, Skip
from tests.devproxy.oci.parsing import parse
from tests.devproxy.plan.planning import DEFAULTS, GPU_HOST, bare, lines, steps_of
from tests.hosts.make import RECORDINGS

TPU_HOST = probe(next(path for path in RECORDINGS if os.path.basename(path) == "tpu-v4.tar"))
NVPROXY, TPUPROXY = "dev.gvisor.internal.nvproxy", "dev.gvisor.internal.tpuproxy"


def device(path: str) -> dict[str, Any]:
    return {"linux": {"devices": [{"path": path, "type": "c", "major": 240, "minor": 0}]}}


def configured(*pairs: str) -> Configuration:
    return parse_configuration(None, pairs).configuration


def skips(plan: Plan, word: str) -> list[tuple[str, str, Level]]:
    return [(step.what, str(step.reason), step.level) for step in steps_of(plan, Skip) if word in step.what]


# TPUs: the cases of the seed's own test, each with what is on because of it


@pytest.mark.rows("H15", "S76", oracle="specification")
@pytest.mark.parametrize(
    ("config", "changes", "mode", "made"),
    [
        (DEFAULTS, {}, Mode.NONE, 0),
        (configured("tpuproxy=true"), {}, Mode.DOCKER, 4),
        (DEFAULTS, {"annotations": {TPUPROXY: "true"}}, Mode.DOCKER, 4),
        (DEFAULTS, device("/dev/accel0"), Mode.SPEC, 1),
        (DEFAULTS, device("/dev/vfio/12"), Mode.SPEC, 1),
        (DEFAULTS, device("/dev/vfio/vfio"), Mode.NONE, 1),
        (DEFAULTS, device("/dev/null"), Mode.NONE, 0),
    ],
)
def test_what_turns_tpus_on(config: Configuration, changes: dict[str, Any], mode: Mode, made: int) -> None:
    plan = bare(TPU_HOST, config=config, **changes)
    assert (plan.mode, len(lines(plan, "node /dev/accel", "node /dev/vfio"))) == (mode, made)


@pytest.mark.rows("H6", "H15", oracle="specification")
@pytest.mark.parametrize("key", [NVPROXY, TPUPROXY])
def test_an_annotation_turns_on_what_the_configuration_leaves_open(key: str) -> None:
    field = key.rpartition(".")[2]
    refused = bare(TPU_HOST, config=configured(f"{field}=false"), annotations={key: "true"})
    told = (f"turning {field} on", f'annotations["{key}"]: {field} is false', Level.NOTE)
    assert (refused.mode, skips(refused, "turning")) == (Mode.NONE, [told])
    wrong = bare(TPU_HOST, annotations={key: "maybe"})
    told = (f"turning {field} on", f'annotations["{key}"]: "maybe", expected true or false', Level.WARNING)
    assert (wrong.mode, skips(wrong, "turning")) == (Mode.NONE, [told])
    for value in ("false", "0", ""):
        assert bare(TPU_HOST, annotations={key: value}).steps == bare(TPU_HOST).steps
    with pytest.raises(InputError, match="expected true or false"):
        bare(TPU_HOST, annotations={key: "maybe"}, config=Configuration(strict=True))


# GPUs


@pytest.mark.rows("H6", "S76", oracle="specification")
@pytest.mark.parametrize(
    ("changes", "mode"),
    [
        ({}, Mode.NONE),
        ({"annotations": {NVPROXY: "true"}}, Mode.NONE),  # it turns support on, and asks for no device
        (device("/dev/nvidiactl"), Mode.SPEC),
        (device("/dev/nvidia0"), Mode.SPEC),
        (device("/dev/null"), Mode.NONE),
        ({"process": {"env": ["NVIDIA_VISIBLE_DEVICES=all"]}}, Mode.DOCKER),
        ({"process": {"env": ["NVIDIA_VISIBLE_DEVICES=none"]}}, Mode.DOCKER),
        ({"process": {"env": ["NVIDIA_VISIBLE_DEVICES=void"]}}, Mode.NONE),
        ({"process": {"env": ["NVIDIA_VISIBLE_DEVICES="]}}, Mode.NONE),
    ],
)
def test_what_turns_gpus_on(changes: dict[str, Any], mode: Mode) -> None:
    assert bare(GPU_HOST, **changes).mode is mode
    assert bare(GPU_HOST, config=configured("nvproxy=false"), **changes).mode is Mode.NONE


# NVIDIA's hooks

CDI: dict[str, Any] = {
    "hooks": {"createContainer": [{"path": "/usr/bin/nvidia-cdi-hook", "args": ["nvidia-cdi-hook", "update-ldcache"]}]}
}
PARAMS = {"path": "/usr/bin/nvidia-cdi-hook", "args": ["nvidia-cdi-hook", "disable-device-node-modification"]}
LEGACY: dict[str, Any] = {
    "hooks": {"prestart": [{"path": "/usr/bin/nvidia-container-runtime-hook", "args": ["x", "prestart"]}]}
}


@pytest.mark.rows("H7", oracle="specification")
@pytest.mark.parametrize(
    ("values", "with_hook", "without"),
    [
        (["all", "0", "void"], ("0",), "all"),
        (["1", "void"], ("1",), ("1",)),
        (["void"], None, None),
        (["0", "1"], ("0",), ("0",)),
        (["void", "void"], None, None),
        (["", "0", "void"], ("0",), None),
    ],
)
def test_the_void_that_a_cdi_spec_adds_is_passed_over(values: list[str], with_hook: Any, without: Any) -> None:
    env = [f"NVIDIA_VISIBLE_DEVICES={value}" for value in values]
    for hook, expected in ((True, with_hook), (False, without)):
        found = visible_devices(env, cdi_hook=hook)
        seen = None if found is None else "all" if found.all else tuple(each.text for each in found.ids)
        assert seen == expected


@pytest.mark.rows("H7", oracle="specification")
def test_a_cdi_hook_is_known_by_its_name_and_its_stage() -> None:
    env: dict[str, Any] = {
        "process": {"env": ["NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_VISIBLE_DEVICES=1", "NVIDIA_VISIBLE_DEVICES=void"]}
    }
    assert parse(**CDI).cdi_hook
    assert lines(bare(GPU_HOST, **CDI, **env), "node /dev/nvidia0", "node /dev/nvidia1") == [
        "node /dev/nvidia0 c nvidia:0 0666"
    ], "index 1 is the GPU of minor 0"
    others: tuple[Any, ...] = (
        {"prestart": CDI["hooks"]["createContainer"]},
        {"createContainer": [{"path": "/usr/bin/nvidia-cdi-hook2"}]},
        {"createContainer": [{"path": "nvidia-cdi-hook"}]},
        {"createContainer": [7, {"path": 7}, {}]},
        {"createContainer": "x"},
    )
    for hooks in others:
        assert not parse(hooks=hooks).cdi_hook
        assert len(lines(bare(GPU_HOST, hooks=hooks, **env), "node /dev/nvidia0", "node /dev/nvidia1")) == 2


@pytest.mark.rows("H7", oracle="specification")
def test_of_hooks_that_are_left_out_it_is_told_what_is_lost() -> None:
    assert skips(bare(GPU_HOST, **LEGACY), "hooks") == [
        (
            "the prestart hooks, and with nvidia-container-runtime-hook the driver's libraries; its device nodes are made",
            "hooks.prestart: run does not do this",
            Level.WARNING,
        )
    ]
    ((what, _, level),) = skips(bare(GPU_HOST, **CDI), "hooks")
    assert (what, level) == ("the createContainer hooks", Level.WARNING)


@pytest.mark.rows("H7", "H13", oracle="specification")
def test_a_hook_that_does_what_is_done_anyway_is_no_warning() -> None:
    ((_, _, level),) = skips(bare(GPU_HOST, hooks={"createContainer": [PARAMS]}), "hooks")
    assert level is Level.NOTE
    both: dict[str, Any] = {"createContainer": [PARAMS, *CDI["hooks"]["createContainer"]]}
    ((_, _, level),) = skips(bare(GPU_HOST, hooks=both), "hooks")
    assert level is Level.WARNING
