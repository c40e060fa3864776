"""TPU_VISIBLE_CHIPS and TPU_VISIBLE_DEVICE_PATHS."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.oci.tpu_env import VISIBLE_CHIPS, VISIBLE_DEVICE_PATHS, VisibleTpus, visible_tpus

CHIPS, PATHS = f"process.env {VISIBLE_CHIPS}", f"process.env {VISIBLE_DEVICE_PATHS}"


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ([], None),
        (["TPU_VISIBLE_CHIPS="], None),
        (["TPU_VISIBLE_CHIPS= , "], None),
        (["XTPU_VISIBLE_CHIPS=0", "TPU_VISIBLE_CHIPS2=0", "TPU_VISIBLE_CHIPS"], None),
        (["TPU_VISIBLE_CHIPS=0"], VisibleTpus(CHIPS, "0", ("0",))),
        (["TPU_VISIBLE_CHIPS=0, 1,,"], VisibleTpus(CHIPS, "0, 1,,", ("0", "1"))),
        (["TPU_VISIBLE_CHIPS=1", "TPU_VISIBLE_CHIPS=2"], VisibleTpus(CHIPS, "1", ("1",))),
        (["TPU_VISIBLE_DEVICE_PATHS=/dev/vfio/0"], VisibleTpus(PATHS, "/dev/vfio/0", ("/dev/vfio/0",))),
        (["TPU_VISIBLE_CHIPS=1", "TPU_VISIBLE_DEVICE_PATHS=/a"], VisibleTpus(PATHS, "/a", ("/a",), "1")),
        (["TPU_VISIBLE_CHIPS=1", "TPU_VISIBLE_DEVICE_PATHS="], VisibleTpus(CHIPS, "1", ("1",))),
    ],
)
def test_what_the_environment_asks_for(env: list[str], expected: VisibleTpus | None) -> None:
    assert visible_tpus(env) == expected


@given(st.lists(st.text()))
def test_any_environment_is_understood(env: list[str]) -> None:
    found = visible_tpus(env)
    assert found is None or found.words
