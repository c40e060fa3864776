"""Docker mode on hosts with MIG devices, IMEX channels and more of the driver's nodes."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.errors import InputError
from devproxy.host.facts import Host
from devproxy.host.probe import probe
from devproxy.node import OfDriver
from devproxy.oci.configuration import Configuration
from devproxy.plan.plan import Mode, Plan
from devproxy.plan.steps import Level, MakeDirectory, MakeNode, Skip
from tests import hosts
from tests.devproxy.plan.planning import DEFAULTS, GPU_HOST, bare, steps_of

HOSTS = os.path.dirname(hosts.__file__)
MIG = probe(os.path.join(HOSTS, "mig.tar"))
DEEP = probe(os.path.join(HOSTS, "mig.tar"), deep=True)
OLD = probe(os.path.join(HOSTS, "before-550.tar"))
NO_UVM = probe(os.path.join(HOSTS, "without-uvm.tar"))
SYS_ADMIN = {"bounding": ["CAP_SYS_ADMIN"]}

# GPU 3 of the recording has minor 2, and two MIG devices: GPU instances 1 and 2.
CUT_UUID = "GPU-a84e2c19-d5f3-17b6-20ce-7f9183b4e65a"
CONTROL = ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"]
FIRST = ["/dev/nvidia-caps/nvidia-cap282", "/dev/nvidia-caps/nvidia-cap283"]
SECOND = ["/dev/nvidia-caps/nvidia-cap291", "/dev/nvidia-caps/nvidia-cap292"]
ALL_GPUS = [f"/dev/nvidia{minor}" for minor in (0, 1, 3, 2, 4, 5, 6, 7)]


def asking(*env: str, host: Host = MIG, config: Configuration = DEFAULTS, **process: Any) -> Plan:
    return bare(host, config=config, process={"env": list(env), **process})


def selecting(value: str, *env: str, host: Host = MIG, **process: Any) -> Plan:
    return asking(f"NVIDIA_VISIBLE_DEVICES={value}", *env, host=host, **process)


def nodes(plan: Plan) -> list[str]:
    return [step.path for step in steps_of(plan, MakeNode) if isinstance(step.identity, OfDriver)]


def skips(plan: Plan) -> list[tuple[Level, str]]:
    return [(step.level, step.what) for step in steps_of(plan, Skip)]


# MIG devices


@pytest.mark.rows("S77", "H9", "H11", oracle="specification")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3:0", ["/dev/nvidia2", *FIRST]),
        ("3:1", ["/dev/nvidia2", *SECOND]),
        ("03:01", ["/dev/nvidia2", *SECOND]),
        ("3:1,3:0", ["/dev/nvidia2", *SECOND, *FIRST]),
        ("3:0,3:0", ["/dev/nvidia2", *FIRST]),
        ("3,3:0", ["/dev/nvidia2", *FIRST]),
        ("3:0,0", ["/dev/nvidia2", "/dev/nvidia0", *FIRST]),
        ("0,3:0", ["/dev/nvidia0", "/dev/nvidia2", *FIRST]),
        (f"MIG-{CUT_UUID}/1/0", ["/dev/nvidia2", *FIRST]),
        (f"mig-{CUT_UUID.lower()}/2/0,3:1", ["/dev/nvidia2", *SECOND]),
        ("3", ["/dev/nvidia2"]),
        (CUT_UUID, ["/dev/nvidia2"]),
        ("all", [*ALL_GPUS, *FIRST, *SECOND]),
        ("none", []),
    ],
)
def test_s77_a_mig_device_is_its_gpu_and_two_capabilities(value: str, expected: list[str]) -> None:
    assert nodes(selecting(value)) == CONTROL + expected


@pytest.mark.rows("S77", "H11", oracle="specification")
def test_s77_the_capabilities_are_the_drivers_minors_with_the_drivers_modes() -> None:
    plan = selecting("3:0", "NVIDIA_MIG_CONFIG_DEVICES=")
    described = [step.describe() for step in plan.steps if "nvidia-caps" in step.path]
    assert described == [
        "directory /dev/nvidia-caps 0755",
        "node /dev/nvidia-caps/nvidia-cap282 c nvidia-caps:282 0444",
        "node /dev/nvidia-caps/nvidia-cap283 c nvidia-caps:283 0444",
    ]
    reasons = {str(step.reason) for step in plan.steps if "nvidia-caps" in step.path}
    assert reasons == {"process.env NVIDIA_VISIBLE_DEVICES: MIG device 3:0"}


@pytest.mark.rows("S77", "H9", oracle="specification")
@pytest.mark.parametrize(
    "value",
    ["3:2", "0:0", "8:0", f"MIG-{CUT_UUID}", f"MIG-{CUT_UUID}/1/1"],
)
def test_s77_a_mig_device_that_is_not_there_is_refused_with_those_that_are(value: str) -> None:
    with pytest.raises(InputError) as error:
        selecting(f"0,{value}")
    assert error.value.message.endswith("at position 2, expected a MIG device of this host: 3:0, 3:1")
    assert "NVML" in error.value.hint


@pytest.mark.rows("S77", oracle="specification")
def test_s77_on_a_host_without_mig_devices_no_mig_id_is_right() -> None:
    with pytest.raises(InputError, match="expected a MIG device of this host: it has none"):
        selecting("0:0", host=GPU_HOST)


def test_a_gpu_named_without_its_mig_devices_is_noted() -> None:
    assert skips(selecting("3")) == [(Level.NOTE, "the MIG devices of GPU 3")]
    assert skips(selecting("3,3:0")) == []
    assert skips(selecting("0")) == []


def test_a_capability_that_the_driver_does_not_tell_is_a_warning() -> None:
    assert MIG.nvidia is not None
    without = MIG._replace(nvidia=MIG.nvidia._replace(capabilities=()))
    plan = selecting("3:0", host=without)
    assert nodes(plan) == [*CONTROL, "/dev/nvidia2"]
    assert skips(plan) == [
        (Level.WARNING, "the capability gpu2/mig/gi1/access"),
        (Level.WARNING, "the capability gpu2/mig/gi1/ci0/access"),
    ]
    assert not [step for step in steps_of(plan, MakeDirectory) if step.path == "/dev/nvidia-caps"]


def test_managing_mig_devices_gives_the_two_capabilities_of_the_driver() -> None:
    env = ("NVIDIA_MIG_CONFIG_DEVICES=all", "NVIDIA_MIG_MONITOR_DEVICES=all")
    plan = selecting("3", *env, capabilities=SYS_ADMIN)
    described = [step.describe() for step in steps_of(plan, MakeNode) if "nvidia-caps" in step.path]
    assert described == [
        "node /dev/nvidia-caps/nvidia-cap1 c nvidia-caps:1 0400",
        "node /dev/nvidia-caps/nvidia-cap2 c nvidia-caps:2 0444",
    ]
    with pytest.raises(InputError, match="CAP_SYS_ADMIN"):
        selecting("3", *env, capabilities={"bounding": ["CAP_CHOWN"], "effective": ["CAP_SYS_ADMIN"]})
    with pytest.raises(InputError, match="CAP_SYS_ADMIN"):
        selecting("3", *env, capabilities=None)


# driver capabilities


@pytest.mark.rows("S79", "H10", oracle="specification")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ["uvm-tools"]),
        ("utility", []),
        ("compute", ["uvm-tools"]),
        ("display", ["modeset"]),
        ("graphics", []),
        ("all", ["uvm-tools", "modeset"]),
    ],
)
def test_h10_some_nodes_are_for_some_capabilities_alone(value: str | None, expected: list[str]) -> None:
    env = [] if value is None else [f"NVIDIA_DRIVER_CAPABILITIES={value}"]
    assert nodes(selecting("none", *env)) == [*CONTROL[:2], *(f"/dev/nvidia-{name}" for name in expected)]


@pytest.mark.rows("H10", oracle="specification")
def test_h10_a_node_that_the_host_lacks_is_left_out() -> None:
    assert nodes(selecting("none", "NVIDIA_DRIVER_CAPABILITIES=all", host=NO_UVM)) == CONTROL[:2]
    assert nodes(selecting("none", "NVIDIA_DRIVER_CAPABILITIES=all", host=OLD)) == CONTROL


@pytest.mark.rows("H10", oracle="specification")
def test_h10_what_the_configuration_does_not_allow_is_refused() -> None:
    config = Configuration(nvproxy_allowed_driver_capabilities=("utility",))
    env = ("NVIDIA_VISIBLE_DEVICES=none", "NVIDIA_DRIVER_CAPABILITIES=compute")
    with pytest.raises(InputError, match="expected some of utility"):
        asking(*env, config=config)
    assert nodes(asking(env[0], config=config)) == CONTROL[:2]


@pytest.mark.rows("H10", oracle="specification")
def test_h10_a_legacy_image_gets_everything() -> None:
    plan = asking("CUDA_VERSION=9.0.176")
    assert plan.mode is Mode.DOCKER
    assert nodes(plan) == [*CONTROL, "/dev/nvidia-modeset", *ALL_GPUS, *FIRST, *SECOND]
    assert str(steps_of(plan, MakeNode)[-1].reason).startswith("process.env CUDA_VERSION: ")
    assert asking("CUDA_VERSION=9.0", "NVIDIA_REQUIRE_CUDA=cuda>=9.0").mode is Mode.NONE


@pytest.mark.rows("H10", oracle="specification")
def test_h10_a_legacy_image_that_is_not_asked_is_noted_by_its_own_variable() -> None:
    plan = bare(MIG, mode="none", process={"env": ["CUDA_VERSION=9.0"]})
    assert [str(step.reason) for step in steps_of(plan, Skip)] == ["process.env CUDA_VERSION: the mode is none"]


# IMEX channels


@pytest.mark.rows("H11", oracle="specification")
@pytest.mark.parametrize(
    ("value", "channels"),
    [("0", [0]), ("5,channel1,5", [5, 1]), ("all", [0, 1, 2047]), ("2047", [2047]), ("void", []), ("", [])],
)
def test_imex_channels_have_nodes_in_a_directory_of_their_own(value: str, channels: list[int]) -> None:
    plan = selecting("none", f"NVIDIA_IMEX_CHANNELS={value}")
    described = [step.describe() for step in plan.steps if "imex" in step.path]
    directory = ["directory /dev/nvidia-caps-imex-channels 0755"] if channels else []
    assert described == directory + [
        f"node /dev/nvidia-caps-imex-channels/channel{n} c nvidia-caps-imex-channels:{n} 0666" for n in channels
    ]


def test_an_imex_channel_that_the_driver_does_not_have_is_refused() -> None:
    with pytest.raises(InputError, match="asks for channel 2048, expected one from 0 to 2047"):
        selecting("none", "NVIDIA_IMEX_CHANNELS=0,2048")
    with pytest.raises(InputError, match="nvidia-caps-imex-channels is not in /proc/devices"):
        selecting("none", "NVIDIA_IMEX_CHANNELS=0", host=OLD)


def test_no_imex_channels_made_is_a_warning_for_all() -> None:
    plan = selecting("none", "NVIDIA_IMEX_CHANNELS=all", host=OLD)
    assert skips(plan) == [(Level.WARNING, "the IMEX channels")]


# whatever it says

WORDS = st.one_of(
    st.sampled_from(
        [
            "all",
            "none",
            "void",
            "0",
            "3",
            "3:0",
            "3:9",
            CUT_UUID,
            f"MIG-{CUT_UUID}/1/0",
            f"MIG-00000001-{CUT_UUID[13:]}",
            "channel0",
            "video",
        ]
    ),
    st.text(alphabet="0129:,-/MIGPU \u0661", max_size=8),
)
VALUES = st.lists(WORDS, max_size=4).map(",".join)
NAMES = ("VISIBLE_DEVICES", "DRIVER_CAPABILITIES", "MIG_CONFIG_DEVICES", "MIG_MONITOR_DEVICES", "IMEX_CHANNELS")


@pytest.mark.property
@given(
    st.dictionaries(st.sampled_from(NAMES), VALUES),
    st.sampled_from([None, SYS_ADMIN]),
    st.sampled_from([MIG, DEEP, OLD]),
)
def test_every_environment_is_a_plan_or_an_input_error(
    values: dict[str, str], capabilities: dict[str, list[str]] | None, host: Host
) -> None:
    env = [f"NVIDIA_{name}={value}" for name, value in values.items()]
    try:
        plan = asking(*env, host=host, capabilities=capabilities)
    except InputError as error:
        refused = error
        plan = None
    if plan is None:
        assert refused.message.isprintable()
        assert refused.hint
        return
    made = nodes(plan)
    assert len(made) == len(set(made))
