"""NVIDIA_VISIBLE_DEVICES, as NVIDIA's own container tools read it."""

from __future__ import annotations

import pytest

from devproxy.oci.nvidia_env import GpuId, VisibleDevices, is_legacy_image, visible_devices


def ids(value: str) -> list[str]:
    visible = visible_devices([f"NVIDIA_VISIBLE_DEVICES={value}"])
    assert visible is not None
    assert not visible.all
    return [gpu.text for gpu in visible.ids]


@pytest.mark.rows("S76", oracle="specification")
@pytest.mark.parametrize("env", [[], ["NVIDIA_VISIBLE_DEVICES"], ["NVIDIA_VISIBLE_DEVICES_X=all"], ["A=1"]])
def test_s76_an_unset_variable_asks_for_nothing(env: list[str]) -> None:
    assert visible_devices(env) is None


@pytest.mark.rows("S76", oracle="specification")
@pytest.mark.parametrize("value", ["", " ", ",", " , ", "void", " void ", "0,void", "void,all"])
def test_s76_empty_and_void_ask_for_nothing(value: str) -> None:
    assert visible_devices([f"NVIDIA_VISIBLE_DEVICES={value}"]) is None


@pytest.mark.rows("S76", oracle="specification")
def test_s76_the_first_variable_counts() -> None:
    visible = visible_devices(["A=1", "NVIDIA_VISIBLE_DEVICES=1", "NVIDIA_VISIBLE_DEVICES=void"])
    assert visible == VisibleDevices("1", all=False, ids=(GpuId("1", 1),))


@pytest.mark.rows("S77", oracle="specification")
@pytest.mark.parametrize("value", ["none", "none,0", "0,none", "none,all", " none "])
def test_s77_none_asks_for_the_driver_alone(value: str) -> None:
    assert visible_devices([f"NVIDIA_VISIBLE_DEVICES={value}"]) == VisibleDevices(value, all=False, ids=())


@pytest.mark.rows("S77", "H9", oracle="specification")
@pytest.mark.parametrize("value", ["all", "0,all", "all,none", " all"])
def test_s77_all_asks_for_every_gpu(value: str) -> None:
    assert visible_devices([f"NVIDIA_VISIBLE_DEVICES={value}"]) == VisibleDevices(value, all=True, ids=())


@pytest.mark.rows("S77", "H9", oracle="specification")
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


@pytest.mark.rows("H9", oracle="specification")
@pytest.mark.parametrize("text", ["MIG-5", "mig-1", "MIG-GPU-0/1/0", "0:1"])
def test_mig_forms_are_recognised(text: str) -> None:
    assert GpuId(text, 1).is_mig


@pytest.mark.parametrize("text", ["0", "GPU-1", "0:", ":1", "0000:01:00.0", "a:b"])
def test_other_forms_are_no_mig(text: str) -> None:
    assert not GpuId(text, 1).is_mig


# images from before these variables


@pytest.mark.rows("H10", oracle="specification")
@pytest.mark.parametrize(
    ("env", "expected"),
    [
        (["CUDA_VERSION=9.0"], True),
        (["CUDA_VERSION=9.0", "NVIDIA_REQUIRE_CUDA="], True),
        (["CUDA_VERSION=9.0", "NVIDIA_REQUIRE_CUDA=cuda>=9.0"], False),
        (["CUDA_VERSION="], False),
        (["NVIDIA_REQUIRE_CUDA=cuda>=9.0"], False),
        ([], False),
    ],
)
def test_h10_a_legacy_image_is_one_with_cuda_and_without_its_requirement(env: list[str], expected: bool) -> None:
    assert is_legacy_image(env) is expected
    assert (visible_devices(env) is not None) is expected


@pytest.mark.rows("H10", oracle="specification")
def test_h10_a_legacy_image_asks_for_every_gpu_by_its_cuda_version() -> None:
    assert visible_devices(["CUDA_VERSION=9.0"]) == VisibleDevices("9.0", all=True, ids=(), source="CUDA_VERSION")


@pytest.mark.parametrize("value", ["", "void"])
@pytest.mark.rows("H10", oracle="specification")
def test_h10_a_legacy_image_that_asks_for_nothing_gets_nothing(value: str) -> None:
    assert visible_devices(["CUDA_VERSION=9.0", f"NVIDIA_VISIBLE_DEVICES={value}"]) is None


@pytest.mark.parametrize("value", ["none", "all", "0"])
@pytest.mark.rows("H10", oracle="specification")
def test_h10_what_a_legacy_image_says_counts(value: str) -> None:
    env = [f"NVIDIA_VISIBLE_DEVICES={value}"]
    assert visible_devices(["CUDA_VERSION=9.0", *env]) == visible_devices(env)
