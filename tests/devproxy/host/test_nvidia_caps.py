"""Capabilities and MIG devices, from /proc/driver/nvidia/capabilities and /proc/driver/nvidia-caps."""

from __future__ import annotations

import errno
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.host.facts import Capability, MigDevice
from devproxy.host.nvidia_caps import parse_minors, read_capabilities, read_switches
from devproxy.host.probe import probe
from devproxy.host.root import HostRoot
from tests import hosts
from tests.hosts.machine import Machine
from tests.hosts.make import mig_minor

TREE = "/proc/driver/nvidia/capabilities"
MINORS = "/proc/driver/nvidia-caps/mig-minors"


def with_capability(machine: Machine, name: str, text: str) -> Machine:
    return machine.file(f"{TREE}/{name}", text)


def access(minor: int, mode: int = 292) -> str:
    return f"DeviceFileMinor: {minor}\nDeviceFileMode: {mode}\nDeviceFileModify: 1\n"


def capabilities_of(machine: Machine) -> dict[str, tuple[int, int]]:
    return {found.name: (found.minor, found.mode) for found in read_capabilities(HostRoot(machine))[0]}


# lists of minors


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("config 1", {"mig/config": 1}),
        ("monitor 2", {"mig/monitor": 2}),
        ("gpu0/gi0/access 3", {"gpu0/mig/gi0/access": 3}),
        ("gpu0/gi0/ci0/access 4", {"gpu0/mig/gi0/ci0/access": 4}),
        ("gpu31/gi14/ci7/access 4322", {"gpu31/mig/gi14/ci7/access": 4322}),
        ("fabric-imex-mgmt 4323", {"fabric-imex-mgmt": 4323}),
        ("fabric-mgmt 0", {"fabric-mgmt": 0}),
    ],
)
def test_a_listed_minor_belongs_to_a_path_of_the_tree(line: str, entry: dict[str, int]) -> None:
    assert parse_minors(f"{line}\n") == (entry, [])


@pytest.mark.parametrize(
    "line",
    [
        "config notanint", "notconfig 99", "invalidLine", "config  1", "config", " config 1", "config 1 ", "config -1",
        "config 8192", "config 1.0", "gpu0/gi0 3", "gpu0/access 3", "gpuX/gi0/access 3", "gpu0/gi0/ci0 3",
        "gpu0/gi0/ci0/other 3", "gpu0/mig/gi0/access 3", "config \u0661", "gpu/gi/access 3",
    ],
)  # fmt: skip
def test_a_line_that_is_no_minor_is_told_and_those_around_it_count(line: str) -> None:
    assert parse_minors(f"config 1\n{line}\nmonitor 2\n") == ({"mig/config": 1, "mig/monitor": 2}, [line])


@pytest.mark.property
@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\n"))))
def test_no_list_is_too_odd(lines: list[str]) -> None:
    minors, bad = parse_minors("\n".join(lines))
    assert len(minors) + len(bad) <= len(lines)
    assert set(bad) <= set(lines)


def test_bad_lines_of_a_list_are_unseen() -> None:
    root = HostRoot(Machine().file(MINORS, "config one\nmonitor 2\nodd\n"))
    assert {capability.name for capability in read_capabilities(root)[0]} == {"mig/monitor"}
    assert [(unseen.path, unseen.why) for unseen in root.unseen] == [
        (MINORS, "2 lines that are no `capability minor`, the first: 'config one'")
    ]


# the tree


def test_a_capability_is_what_its_own_file_says() -> None:
    machine = Machine().file(MINORS, "config 7\nmonitor 8\n")
    with_capability(machine, "mig/config", access(1, 256))
    assert capabilities_of(machine) == {"mig/config": (1, 0o400), "mig/monitor": (8, 0o444)}


@pytest.mark.parametrize("text", ["", "DeviceFileMinor: one\n", "DeviceFileMode: 292\n", "DeviceFileMinor: 99999\n"])
def test_a_file_that_does_not_say_is_unseen_and_the_list_counts(text: str) -> None:
    machine = with_capability(Machine().file(MINORS, "config 1\n"), "mig/config", text)
    root = HostRoot(machine)
    assert [(found.minor) for found in read_capabilities(root)[0]] == [1]
    assert [unseen.path for unseen in root.unseen] == [f"{TREE}/mig/config"]


def test_a_capability_that_nothing_numbers_is_none() -> None:
    machine = with_capability(Machine(), "gpu0/mig/gi1/access", access(12)).directory(f"{TREE}/gpu0/mig/gi1/ci0")
    capabilities, devices = read_capabilities(HostRoot(machine))
    assert [found.name for found in capabilities] == ["gpu0/mig/gi1/access"]
    assert [(device.gpu_instance, device.compute_instance) for device in devices] == [(1, 0)]


def test_a_tree_that_may_not_be_read_is_unseen() -> None:
    root = HostRoot(Machine().directory(TREE).refuse(TREE))
    assert read_capabilities(root) == ((), ())
    assert [(unseen.path, unseen.why.split(":")[0]) for unseen in root.unseen] == [
        (TREE, errno.errorcode[errno.EACCES])
    ]


def test_mig_devices_are_ranked_by_the_numbers_of_their_instances() -> None:
    machine = Machine()
    for name in ("gpu1/mig/gi10/ci0", "gpu1/mig/gi9/ci1", "gpu1/mig/gi9/ci0", "gpu0/mig/gi2/ci0", "gpu0/mig/gi3", "x"):
        machine.directory(f"{TREE}/{name}")
    _, devices = read_capabilities(HostRoot(machine))
    assert [device[:4] for device in devices] == [(0, 0, 2, 0), (1, 0, 9, 0), (1, 1, 9, 1), (1, 2, 10, 0)]
    assert devices[0] == MigDevice(0, 0, 2, 0, f"{TREE}/gpu0/mig/gi2/ci0")
    assert devices[0].capabilities == ("gpu0/mig/gi2/access", "gpu0/mig/gi2/ci0/access")


def test_the_node_of_a_capability_is_named_by_its_minor() -> None:
    assert Capability("mig/config", 1, 0o400, "").node == "/dev/nvidia-caps/nvidia-cap1"


# Numbers that people reported from such hosts (issues singularity 6339, k8s-dra-driver-gpu 304).
@pytest.mark.parametrize(("gpu", "instance", "minor"), [(0, 2, 21), (0, 3, 30), (0, 4, 39), (1, 2, 156), (32, 0, 4323)])
def test_the_minors_of_the_recording_are_numbered_as_the_driver_numbers(gpu: int, instance: int, minor: int) -> None:
    assert mig_minor(gpu, instance) == minor


def test_the_recorded_host_has_two_mig_devices_and_what_they_need() -> None:
    host = probe(os.path.join(os.path.dirname(hosts.__file__), "mig.tar"))
    assert host.nvidia is not None
    assert [device[:4] for device in host.nvidia.mig] == [(2, 0, 1, 0), (2, 1, 2, 0)]
    for capability in host.nvidia.capabilities:
        node = host.node(capability.node)
        if capability.name != "fabric-mgmt":
            assert node is not None
            assert (node.mode, node.number.major) == (capability.mode, host.major_of("nvidia-caps"))
        match = re.fullmatch(r"gpu(\d+)/mig/gi(\d+)(?:/ci(\d+))?/access", capability.name)
        if match:
            gpu, instance = int(match[1]), int(match[2])
            compute = 0 if match[3] is None else 1 + int(match[3])
            assert capability.minor == mig_minor(gpu, instance) + compute
    assert host.unseen == ()
    assert len(host.nvidia.switches) == 4


def test_switches_are_those_of_the_driver() -> None:
    machine = Machine().directory("/proc/driver/nvidia-nvswitch/devices/0000:08:00.0")
    machine.directory("/proc/driver/nvidia-nvswitch/devices/0000:07:00.0")
    assert read_switches(HostRoot(machine)) == ("0000:07:00.0", "0000:08:00.0")
    assert read_switches(HostRoot(Machine())) == ()
