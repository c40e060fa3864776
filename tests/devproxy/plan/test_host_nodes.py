"""Devices of a spec whose number is the host's node's (S74, H14)."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.build import build
from devproxy.errors import InputError
from devproxy.host.facts import Host, HostNode
from devproxy.node import DeviceNumber, Fixed, LikeHost, NodeKind, OfDriver
from devproxy.plan.plan import Plan
from devproxy.plan.plan_json import to_json
from devproxy.plan.steps import Level, MakeNode, Skip
from devproxy.targets.kernel.look import number_on_host
from devproxy.targets.numbers import Numbers
from tests.devproxy.plan.planning import GPU_HOST, NO_OVERLAY, PLAIN, bare
from tests.devproxy.targets_kernel.rig import a_host

PATHS = [
    "/dev/accel0", "/dev/accel17", "/dev/vfio/0", "/dev/vfio/96", "/dev/accel/accel0", "/dev/accel/accel_controlD1",
    "/dev/dri/card1", "/dev/dri/renderD128", "/dev/kfd", "/dev/infiniband/uverbs0", "/dev/infiniband/rdma_cm",
    "/dev/hl0", "/dev/apex_0",
]  # fmt: skip
NO_PATHS = ["/dev/accel", "/dev/vfio", "/dev/accel/0", "/dev/accelerator0", "/dev/kfd0", "/x/accel0", "/dev/vfio/x/0"]
HELD = DeviceNumber(470, 2)


def listing(path: str, number: tuple[int, int] = (121, 0), host: Host = PLAIN, kind: str = "c", **changes: Any) -> Plan:
    device = {"path": path, "type": kind, "major": number[0], "minor": number[1]}
    return bare(host, linux={"devices": [device]}, config=NO_OVERLAY, **changes)


def step_of(plan: Plan) -> MakeNode:
    (step,) = (s for s in plan.steps if isinstance(s, MakeNode) and s.reason.source.startswith("linux.devices"))
    return step


def holding(path: str, number: DeviceNumber = HELD, kind: NodeKind = NodeKind.CHARACTER) -> Host:
    return PLAIN._replace(nodes=(HostNode(path, kind, number, 0o600, 0, 0),))


@pytest.mark.rows("H14", "H17", oracle="specification")
@pytest.mark.parametrize("path", PATHS)
def test_a_known_path_is_like_the_hosts(path: str) -> None:
    step = step_of(listing(path))
    assert step.identity == LikeHost(path, DeviceNumber(121, 0))
    assert step.asked == "121:0"
    assert step.describe() == f"node {path} c like_host({path}) 0666"
    (found,) = (s for s in to_json(listing(path))["steps"] if isinstance(s, dict) and s["path"] == path)  # type: ignore[attr-defined]
    assert found["identity"] == {"like_host": path}


@pytest.mark.parametrize("path", NO_PATHS)
def test_another_path_keeps_the_specs_number(path: str) -> None:
    assert step_of(listing(path)).identity == Fixed(DeviceNumber(121, 0))


def test_only_character_devices_are_recognised_and_nvidia_is_left_to_its_drivers() -> None:
    assert step_of(listing("/dev/accel0", kind="b")).identity == Fixed(DeviceNumber(121, 0))
    assert step_of(listing("/dev/nvidia-uvm", (1, 0), GPU_HOST)).identity == OfDriver("nvidia-uvm", 0)


@pytest.mark.rows("H14", oracle="specification")
def test_the_container_device_of_vfio_has_the_same_number_everywhere() -> None:
    assert step_of(listing("/dev/vfio/vfio", (10, 196))).asked == ""
    step = step_of(listing("/dev/vfio/vfio", (10, 7)))
    assert (step.identity, step.asked) == (Fixed(DeviceNumber(10, 196)), "10:7")


@pytest.mark.rows("H14", oracle="specification")
def test_the_hosts_number_wins_and_the_outcome_says_so(tmp_path: Path) -> None:
    plan = listing("/dev/vfio/7", (240, 7), holding("/dev/vfio/7"), root={"path": str(tmp_path)})
    with build(plan) as root:
        assert root.lstat("/dev/vfio/7").st_rdev == HELD.rdev
        (found,) = (o for o in root.outcomes if o.step == step_of(plan))
    assert (found.found, found.warning) == ("470:2 on the host, the spec said 240:7", False)


@pytest.mark.rows("H14", oracle="specification")
def test_what_the_host_lacks_keeps_the_specs_number_in_memory_with_a_warning(tmp_path: Path) -> None:
    plan = listing("/dev/accel3", (121, 3), root={"path": str(tmp_path)})
    with build(plan) as root:
        assert root.lstat("/dev/accel3").st_rdev == os.makedev(121, 3)
        (found,) = (o for o in root.outcomes if o.step == step_of(plan))
    assert (found.found, found.warning) == ("the host has no /dev/accel3: 121:3, as the spec says", True)


@pytest.mark.rows("S74", "H14", oracle="kernel")
@pytest.mark.root
@pytest.mark.parametrize("simulated", [True, False])
def test_what_the_host_lacks_is_an_error_on_the_kernel(tmp_path: Path, simulated: bool) -> None:
    host = PLAIN._replace(simulated=simulated)
    plan = listing("/dev/accel3", (121, 3), host, root={"path": str(tmp_path)})
    with pytest.raises(InputError, match=r"like the host's /dev/accel3, which is missing.*linux\.devices\[0\]"):
        build(plan, "kernel")


@pytest.mark.rows("H14", oracle="kernel")
@pytest.mark.root
def test_a_recorded_number_is_made_on_the_kernel_unless_a_live_driver_has_it(tmp_path: Path) -> None:
    plan = listing("/dev/vfio/7", (240, 7), holding("/dev/vfio/7"), root={"path": str(tmp_path)})
    with build(plan, "kernel") as root:
        assert root.lstat("/dev/vfio/7").st_rdev == HELD.rdev
    live = holding("/dev/vfio/7", DeviceNumber(1, 3))
    with pytest.raises(Exception, match="the node would open a live device"):
        build(listing("/dev/vfio/7", (240, 7), live, root={"path": str(tmp_path)}), "kernel")


@pytest.mark.rows("H17", oracle="specification")
@pytest.mark.parametrize(("major", "told"), [(231, 0), (497, 1)])
def test_h17_a_dynamic_major_of_verbs_is_told(major: int, told: int) -> None:
    path = "/dev/infiniband/uverbs0"
    plan = listing(path, (231, 192), holding(path, DeviceNumber(major, 192)))
    skips = [step for step in plan.steps if isinstance(step, Skip) and path in step.what]
    assert [(step.level, str(step.reason)) for step in skips] == [
        (Level.WARNING, "linux.devices[0]: 497:192 on the host, where InfiniBand's own major is 231: gVisor refuses it")
    ] * told
    assert step_of(plan).identity == LikeHost(path, DeviceNumber(231, 192))


def test_the_live_hosts_node_is_looked_at_and_never_opened(tmp_path: Path) -> None:
    assert number_on_host("/dev/null").number == DeviceNumber(1, 3)
    (tmp_path / "link").symlink_to("/dev/null")
    for path in (str(tmp_path), str(tmp_path / "link"), str(tmp_path / "missing")):
        with pytest.raises(FileNotFoundError):
            number_on_host(path)


@given(major=st.integers(0, 4095), minor=st.integers(0, (1 << 20) - 1), kind=st.sampled_from(list(NodeKind)))
def test_a_recorded_node_answers_whatever_its_number(major: int, minor: int, kind: NodeKind) -> None:
    host = a_host({}, simulated=True)._replace(
        nodes=(HostNode("/dev/accel0", kind, DeviceNumber(major, minor), 0o600, 0, 0),)
    )
    if kind is NodeKind.CHARACTER:
        assert Numbers(host, {}).number_of(LikeHost("/dev/accel0")).number == (major, minor)
        with pytest.raises(OSError) as caught:
            Numbers(host, {major: "live"}).number_of(LikeHost("/dev/accel0"))
        assert caught.value.errno == errno.EADDRINUSE
    else:
        with pytest.raises(FileNotFoundError):
            Numbers(host, {}).number_of(LikeHost("/dev/accel0"))
