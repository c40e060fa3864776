"""NVIDIA_VISIBLE_DEVICES, as NVIDIA's own container tools read it."""

from __future__ import annotations

import pytest

from devproxy.oci.nvidia_env import GpuId, VisibleDevices, visible_devices


def ids(value: str) -> list[str]:
    visible = visible_devices([f"NVIDIA_VISIBLE_DEVICES={value}"])
    assert visible is not None
    assert not visible.all
    return [gpu.text for gpu in visible.ids]


@pytest.mark.parametrize("env", [[], ["NVIDIA_VISIBLE_DEVICES"], ["NVIDIA_VISIBLE_DEVICES_X=all"], ["A=1"]])
def test_s76_an_unset_variable_asks_for_nothing(env: list[str]) -> None:
    assert visible_devices(env) is None


@pytest.mark.parametrize("value", ["", " ", ",", " , ", "void", " void ", "0,void", "void,all"])
def test_s76_empty_and_void_ask_for_nothing(value: str) -> None:
    assert visible_devices([f"NVIDIA_VISIBLE_DEVICES={value}"]) is None


def test_s76_the_first_variable_counts() -> None:
    visible = visible_devices(["A=1", "NVIDIA_VISIBLE_DEVICES=1", "NVIDIA_VISIBLE_DEVICES=void"])
    assert visible == VisibleDevices("1", all=False, ids=(GpuId("1", 1),))


@pytest.mark.parametrize("value", ["none", "none,0", "0,none", "none,all", " none "])
def test_s77_none_asks_for_the_driver_alone(value: str) -> None:
    assert visible_devices([f"NVIDIA_VISIBLE_DEVICES={value}"]) == VisibleDevices(value, all=False, ids=())


@pytest.mark.parametrize("value", ["all", "0,all", "all,none", " all"])
def test_s77_all_asks_for_every_gpu(value: str) -> None:
    assert visible_devices([f"NVIDIA_VISIBLE_DEVICES={value}"]) == VisibleDevices(value, all=True, ids=())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", ["0"]),
        ("1,0", ["1", "0"]),
        (" 1 ", ["1"]),
        ("0,,1,", ["0", "1"]),
        ("0,0", ["0", "0"]),
        ("GPU-x", ["GPU-x"]),
    ],
)
def test_s77_a_list_is_trimmed_and_keeps_its_order(value: str, expected: list[str]) -> None:
    assert ids(value) == expected


def test_positions_count_the_ids_that_are_there() -> None:
    visible = visible_devices(["NVIDIA_VISIBLE_DEVICES=,a,,b"])
    assert visible is not None
    assert visible.ids == (GpuId("a", 1), GpuId("b", 2))


@pytest.mark.parametrize("text", ["MIG-5", "mig-1", "MIG-GPU-0/1/0", "0:1"])
def test_mig_forms_are_recognised(text: str) -> None:
    assert GpuId(text, 1).is_mig


@pytest.mark.parametrize("text", ["0", "GPU-1", "0:", ":1", "0000:01:00.0", "a:b"])
def test_other_forms_are_no_mig(text: str) -> None:
    assert not GpuId(text, 1).is_mig
