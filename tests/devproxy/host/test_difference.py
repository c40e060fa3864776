"""What differs between two states of a machine: everything that changed, nothing that was merely not seen."""

from __future__ import annotations

import os
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.host.details import Details, DeviceDetails, SystemDetails
from devproxy.host.device_facts import Holder, Holders
from devproxy.host.difference import Difference, differences
from devproxy.host.facts import Host, HostNode, MajorLine, Unseen
from devproxy.host.probe import probe
from devproxy.host.shared_memory_facts import MpsDirectory, SharedEntry, SharedMemory, SharedSegment
from devproxy.host.system_facts import CdiFile, KernelModule, ServiceSocket
from devproxy.node import DeviceNumber, NodeKind
from tests.hosts.make import RECORDINGS

HOSTS: Final = {os.path.basename(path): probe(path, deep=True) for path in RECORDINGS}
GPU8: Final = HOSTS["host-8gpu.tar"]


def told(before: Host, after: Host) -> list[str]:
    return [difference.describe() for difference in differences(before, after)]


@pytest.mark.parametrize("name", HOSTS)
def test_a_host_does_not_differ_from_itself(name: str) -> None:
    assert differences(HOSTS[name], HOSTS[name]) == ()


@given(st.sampled_from(sorted(HOSTS)), st.sampled_from(sorted(HOSTS)))
def test_the_other_way_round_everything_is_the_other_way_round(one: str, other: str) -> None:
    there, back = differences(HOSTS[one], HOSTS[other]), differences(HOSTS[other], HOSTS[one])
    mirrored = {each._replace(before=each.after, after=each.before) for each in back}
    assert set(there) == mirrored
    assert len(there) == len(back)
    assert (one == other) == (not there)
    assert all(each.describe().isprintable() for each in there)


def test_a_driver_that_got_another_major_and_its_nodes() -> None:
    character = tuple(line._replace(major=499) if line.name == "nvidia-uvm" else line for line in GPU8.character)
    nodes = tuple(_moved(node, 499) if node.path.startswith("/dev/nvidia-uvm") else node for node in GPU8.nodes)
    assert told(GPU8, GPU8._replace(character=character, nodes=nodes)) == [
        "driver nvidia-uvm: major 462 -> 499",
        "node /dev/nvidia-uvm: number c 462:0 -> c 499:0",
        "node /dev/nvidia-uvm-tools: number c 462:1 -> c 499:1",
    ]


def test_a_gpu_that_fell_off_the_bus() -> None:
    assert GPU8.nvidia is not None
    address = "0000:18:00.0"
    nvidia = GPU8.nvidia._replace(gpus=tuple(gpu for gpu in GPU8.nvidia.gpus if gpu.address != address))
    pci = tuple(device for device in GPU8.pci if device.address != address)
    words = told(GPU8, GPU8._replace(nvidia=nvidia, pci=pci))
    assert words[0] == f"PCI device {address} is gone (was id 10de:2330, driver nvidia)"
    assert words[1].startswith(f"GPU {address} is gone (was index 0, minor 0, UUID GPU-")
    assert len(words) == 2
    back = told(GPU8._replace(nvidia=nvidia, pci=pci), GPU8)
    assert back[0] == f"PCI device {address} appeared: id 10de:2330, driver nvidia"


def test_a_partitioned_gpu() -> None:
    words = told(GPU8, HOSTS["mig.tar"])
    assert "MIG device 2:0 appeared: GPU instance 1, compute instance 0" in words


def test_what_is_not_seen_any_more_is_not_gone() -> None:
    blind = GPU8._replace(nodes=(), unseen=(Unseen("/dev", "EACCES: Permission denied"),))
    assert differences(GPU8, blind) == ()
    assert differences(blind, GPU8) == ()


def test_one_node_that_is_not_seen_any_more() -> None:
    nodes = tuple(node for node in GPU8.nodes if node.path not in ("/dev/nvidia0", "/dev/nvidia1"))
    after = GPU8._replace(nodes=nodes, unseen=(Unseen("/dev/nvidia0", "EIO"),))
    assert told(GPU8, after) == ["node /dev/nvidia1 is gone (was number c 195:1, mode 0666, owner 0:0)"]


def test_a_plain_probe_beside_a_deep_one_differs_in_nothing() -> None:
    assert differences(GPU8, GPU8._replace(details=None)) == ()
    assert differences(GPU8._replace(details=None), GPU8) == ()


SPEC: Final = CdiFile("/etc/cdi/nvidia.yaml", "cdiVersion: 0.5.0", 0o644, 0, 0, 0)
MODULE: Final = KernelModule("nvidia", "550.1", 1, "live", "/sys/module/nvidia")
SOCKET: Final = ServiceSocket("nvidia-persistenced", "/run/nvidia-persistenced/socket", True)
HOLDER: Final = Holder(7, "python3", 0, 99, ("/dev/nvidia0",))


ENTRY: Final = SharedEntry("/dev/shm/x", "file", 1000, 0o600, 4096, 27, 5, 1.0, 1.0)
SEGMENT: Final = SharedSegment(3, 0, 1000, 1000, 0o600, 4096, 0, 7, 7, 1.0)
MPS: Final = MpsDirectory("/tmp/nvidia-mps", "pipe", "directory", 0, 0o755, 27, 6, 1.0, 99, alive=True)


def sharing(
    *entries: SharedEntry, left_out: int = 0, segments: bool = True, mps: tuple[MpsDirectory, ...] = ()
) -> Host:
    memory = SharedMemory(entries, (SEGMENT,) if segments else None, mps, left_out)
    return with_details(SystemDetails(shared_memory=memory))


def with_details(system: SystemDetails | None = None, devices: DeviceDetails | None = None) -> Host:
    return GPU8._replace(details=Details(system=system or SystemDetails(), devices=devices or DeviceDetails()))


def holding(*holders: Holder, complete: bool = True) -> Host:
    return with_details(devices=DeviceDetails(holders=Holders(holders, complete)))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (with_details(SystemDetails(cdi=(SPEC,))), with_details(SystemDetails(cdi=(SPEC._replace(text="x"),))),
         ["CDI spec /etc/cdi/nvidia.yaml: contents 17 characters (5b4a6fb1) -> 1 characters (8cdc1683)"]),
        (with_details(SystemDetails(modules=())), with_details(SystemDetails(modules=(MODULE,))),
         ["module nvidia appeared: version 550.1, state live"]),
        (with_details(SystemDetails(modules=None)), with_details(SystemDetails(modules=(MODULE,))), []),
        (with_details(SystemDetails(sockets=(SOCKET,))), with_details(SystemDetails(sockets=(SOCKET._replace(listening=False),))),
         ["service nvidia-persistenced /run/nvidia-persistenced/socket: state listening -> dead"]),
        (holding(), holding(HOLDER), ["holder 7@99 appeared: name python3, of /dev/nvidia0"]),
        (holding(HOLDER), holding(complete=False), []),
        (holding(HOLDER), holding(HOLDER._replace(started=100)),
         ["holder 7@99 is gone (was name python3, of /dev/nvidia0)",
          "holder 7@100 appeared: name python3, of /dev/nvidia0"]),
        (sharing(), sharing(ENTRY, mps=(MPS,)),
         ["shared memory /dev/shm/x appeared: kind file, owner 1000, inode 5",
          "shared memory MPS pipe /tmp/nvidia-mps appeared: owner 0, daemon 99"]),
        (sharing(ENTRY), sharing(ENTRY._replace(size=1, users=3, changed=9.0)), []),
        (sharing(ENTRY), sharing(ENTRY._replace(inode=6)), ["shared memory /dev/shm/x: inode 5 -> 6"]),
        (sharing(ENTRY), sharing(left_out=7), []),
        (sharing(segments=False), sharing(), []),
        (sharing(), with_details(), []),
    ],
)  # fmt: skip
def test_deep_facts(before: Host, after: Host, words: list[str]) -> None:
    found = told(before, after)
    assert len(found) == len(words)
    for line, expected in zip(found, words, strict=True):
        assert line.partition("(")[0] == expected.partition("(")[0]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 1)), unique_by=lambda row: row[0]),
       st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 1)), unique_by=lambda row: row[0]))  # fmt: skip
def test_carried_out_the_differences_make_one_of_the_other(
    old: list[tuple[str, int, int]], new: list[tuple[str, int, int]]
) -> None:
    """Nodes as the model: what is told is enough to make the second state of the first."""
    before, after = (GPU8._replace(nodes=tuple(_node(*row) for row in rows)) for rows in (old, new))
    state = {f"/dev/{name}": {"number": f"c {major}:{minor}"} for name, major, minor in old}
    for each in differences(before, after):
        if each.field:
            assert state[each.subject][each.field] == each.before
            state[each.subject][each.field] = str(each.after)
        elif each.before is None:
            assert each.subject not in state
            state[each.subject] = {"number": str(each.after).split(",")[0].removeprefix("number ")}
        else:
            del state[each.subject]
    assert state == {f"/dev/{name}": {"number": f"c {major}:{minor}"} for name, major, minor in new}


def test_two_majors_of_one_name() -> None:
    after = GPU8._replace(character=(*GPU8.character, MajorLine(500, "nvidia-uvm")))
    assert differences(GPU8, after) == (Difference("driver", "nvidia-uvm", "major", "462", "462, 500"),)


def _moved(node: HostNode, major: int) -> HostNode:
    return node._replace(number=node.number._replace(major=major))


def _node(name: str, major: int, minor: int) -> HostNode:
    return HostNode(f"/dev/{name}", NodeKind.CHARACTER, DeviceNumber(major, minor), 0o666, 0, 0)
