"""TPUs and other accelerators, told apart by what they are (S74): captures, made-up machines, random ones."""

from __future__ import annotations

import errno
import json
import os
import stat
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.host.facts import Host, PciDevice
from devproxy.host.facts_json import to_json
from devproxy.host.probe import probe, probe_reader
from devproxy.host.tpu import generation_of
from devproxy.node import NodeKind
from tests.hosts.machine import Machine
from tests.hosts.make import RECORDINGS

BY_NAME: Final = {os.path.basename(path): path for path in RECORDINGS}
ADDRESS: Final = "0000:00:04.0"
V4, V5P, V6E, V7 = (0x1AE0, 0x005E), (0x1AE0, 0x0062), (0x1AE0, 0x006F), (0x1AE0, 0x0076)
V7_VIRTUAL = (0x1AE0, 0x0075)
BLUEFIELD, NPU, GVNIC = (0x15B3, 0xC2D5), (0x8086, 0x7D1D), (0x1AE0, 0x0042)


def function(machine: Machine, address: str, ids: tuple[int, int], driver: str = "") -> str:
    """A PCI function; returns its directory."""
    directory = f"/sys/devices/pci0000:00/{address}"
    machine.link(f"/sys/bus/pci/devices/{address}", f"../../..{directory[4:]}")
    bound = f"DRIVER={driver}\n" if driver else ""
    machine.file(f"{directory}/uevent", f"{bound}PCI_CLASS=FF0000\nPCI_ID={ids[0]:04X}:{ids[1]:04X}\n")
    machine.file(f"{directory}/numa_node", "-1\n")
    return directory


def in_group(machine: Machine, directory: str, group: int) -> None:
    members = f"/sys/kernel/iommu_groups/{group}/devices"
    machine.link(f"{directory}/iommu_group", os.path.relpath(os.path.dirname(members), directory))
    machine.link(f"{members}/{os.path.basename(directory)}", os.path.relpath(directory, members))


def in_accel(machine: Machine, directory: str, name: str, number: tuple[int, int] | None = None) -> None:
    machine.link(f"/sys/class/accel/{name}", f"../..{directory[4:]}/accel/{name}")
    if number is not None:
        machine.file(f"{directory}/accel/{name}/dev", f"{number[0]}:{number[1]}\n")


def seen(machine: Machine) -> Host:
    return probe_reader(machine, name="machine", simulated=True)


def usable(host: Host) -> list[tuple[str, tuple[str, ...]]]:
    return [(chip.address, chip.nodes) for chip in host.tpus if chip.nodes]


def test_of_7x_the_physical_function_is_no_chip_beside_the_virtual_ones() -> None:
    """gVisor says that 0x0076 is what 0x0075 is cut from; tpu-info, which knows 0x0076 alone, takes it for the chip."""
    machine = Machine()
    for address, ids, group in (
        ("0000:00:04.0", V7, 0),
        ("0000:00:05.0", V7_VIRTUAL, 1),
        ("0000:00:05.1", V7_VIRTUAL, 2),
    ):
        in_group(machine, function(machine, address, ids, "vfio-pci"), group)
        machine.node(f"/dev/vfio/{group}", (511, group))
    assert usable(seen(machine)) == [("0000:00:05.0", ("/dev/vfio/1", "/dev/vfio/2"))]


def test_a_chip_that_iommufd_alone_gives_access_to_says_so() -> None:
    machine = Machine()
    directory = function(machine, ADDRESS, V5P, "vfio-pci")
    in_group(machine, directory, 3)
    machine.link("/sys/class/vfio-dev/vfio7", f"../..{directory[4:]}/vfio-dev/vfio7")
    machine.node("/dev/vfio/devices/vfio7", (510, 7)).node("/dev/iommu", (10, 127))
    host = seen(machine)
    assert host.node("/dev/vfio/devices/vfio7") is not None
    (chip,) = host.tpus
    assert chip.nodes == ()
    assert chip.problem.startswith("/dev/vfio/3 is missing or no character device; it has /dev/vfio/devices/vfio7")


# the recordings


@pytest.mark.rows("S74", oracle="specification")
def test_four_chips_of_the_tpus_own_driver() -> None:
    host = probe(BY_NAME["tpu-v4.tar"])
    assert [(c.rank, c.generation, c.nodes, c.problem) for c in host.tpus] == [
        (n, "v4", (f"/dev/accel{n}",), "") for n in range(4)
    ]
    assert host.accelerators == ()


@pytest.mark.rows("H14", oracle="specification")
def test_four_chips_of_vfio_whose_minors_are_not_their_groups() -> None:
    host = probe(BY_NAME["tpu-v5p.tar"])
    assert [(c.rank, c.generation, c.nodes) for c in host.tpus] == [(n, "v5p", (f"/dev/vfio/{n}",)) for n in range(4)]
    assert [host.node(c.nodes[0]).number for c in host.tpus] == [(465, 2), (465, 1), (465, 3), (465, 0)]  # type: ignore[union-attr]
    assert [group.members for group in host.iommu_groups] == [(c.address,) for c in host.tpus]
    assert host.accelerators == ()


def test_chips_without_a_driver_are_seen_and_have_no_node() -> None:
    host = probe(BY_NAME["tpu-without-driver.tar"])
    assert {(c.generation, c.nodes, c.problem) for c in host.tpus} == {("v6e", (), "no driver is bound")}
    assert len(host.tpus) == 8


@pytest.mark.rows("S74", oracle="specification")
def test_an_npu_a_network_card_and_a_gpu_are_no_tpus() -> None:
    host = probe(BY_NAME["mixed.tar"])
    assert host.tpus == ()
    assert [(a.path, a.subsystem, a.addresses) for a in host.accelerators] == [
        ("/dev/accel/accel0", "accel", ("0000:00:0b.0",)),
        ("/dev/dri/renderD129", "drm", ("0000:00:02.0",)),
        ("/dev/vfio/96", "vfio", ("0000:03:00.2",)),
    ]
    assert host.nvidia is not None
    assert len(host.nvidia.gpus) == 1


def test_the_json_of_chips_groups_and_others() -> None:
    def told(name: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(json.dumps(to_json(probe(BY_NAME[f"{name}.tar"]))))
        return document

    assert told("tpu-v5p")["tpus"][3] == {
        "rank": 3, "address": "0000:00:07.0", "generation": "v5p", "driver": "vfio-pci", "nodes": ["/dev/vfio/3"],
        "problem": "", "source": "/sys/devices/pci0000:00/0000:00:07.0",
    }  # fmt: skip
    assert told("tpu-v5p")["pci"][0]["subsystem_device"] == "0x0062"
    assert told("mixed")["accelerators"][2] == {
        "path": "/dev/vfio/96", "subsystem": "vfio", "addresses": ["0000:03:00.2"],
        "source": "/sys/kernel/iommu_groups/96",
    }  # fmt: skip
    group = {"number": 96, "members": ["0000:03:00.2"], "source": "/sys/kernel/iommu_groups/96"}
    assert told("mixed")["iommu_groups"] == [group]
    assert {"path": "/sys/devices/system/cpu/present", "text": "0-3\n", "link": ""} in told("mixed")["sysfs"]


# what is and is not a TPU


@pytest.mark.rows("S74", "H14", oracle="specification")
@pytest.mark.parametrize(
    ("ids", "subsystem", "generation"),
    [
        ((0x1AE0, 0x0027), 0x004E, "v2"),
        ((0x1AE0, 0x0027), 0x004F, "v3"),
        ((0x1AE0, 0x0027), None, "v2 or v3"),
        (V4, None, "v4"),
        ((0x1AE0, 0x0056), None, "v4 lite"),
        (V5P, 0x004E, "v5p"),
        ((0x1AE0, 0x0063), None, "v5e"),
        (V6E, None, "v6e"),
        ((0x1AE0, 0x006E), None, ""),  # the physical function of v6e
        (V7, None, "7x"),
        ((0x1AE0, 0x0075), None, "7x"),
        (GVNIC, None, ""),
        ((0x10DE, 0x005E), None, ""),
    ],
)
def test_the_table_of_ids(ids: tuple[int, int], subsystem: int | None, generation: str) -> None:
    assert generation_of(PciDevice(ADDRESS, *ids, 0, "", -1, "", subsystem)) == generation


def test_a_group_with_another_device_gives_no_chip_and_says_whose_it_is() -> None:
    machine = Machine().node("/dev/vfio/7", (465, 0))
    in_group(machine, function(machine, ADDRESS, V5P, "vfio-pci"), 7)
    in_group(machine, function(machine, "0000:00:05.0", BLUEFIELD, "vfio-pci"), 7)
    host = seen(machine)
    assert [chip.problem for chip in host.tpus] == ["IOMMU group 7 has other devices too: 0000:00:05.0"]
    assert usable(host) == []
    assert [a.path for a in host.accelerators] == ["/dev/vfio/7"]


def test_a_group_that_cannot_be_read_is_noted_and_gives_no_chip() -> None:
    machine = Machine().node("/dev/vfio/7", (465, 0))
    in_group(machine, function(machine, ADDRESS, V5P, "vfio-pci"), 7)
    machine.refuse("/sys/kernel/iommu_groups/7/devices", errno.EACCES)
    host = seen(machine)
    assert [chip.problem for chip in host.tpus] == ["its IOMMU group is not known"]
    assert [(u.path, u.why[:6]) for u in host.unseen] == [("/sys/kernel/iommu_groups/7/devices", "EACCES")]


@pytest.mark.rows("S74", oracle="specification")
def test_a_directory_called_accel_is_no_chip() -> None:
    machine = Machine().node("/dev/accel/accel0", (261, 0)).file("/dev/accel1", "no node")
    in_accel(machine, function(machine, ADDRESS, NPU, "intel_vpu"), "accel0", (261, 0))
    host = seen(machine)
    assert host.tpus == ()
    assert [a.path for a in host.accelerators] == ["/dev/accel/accel0"]


def test_a_node_with_another_number_than_its_driver_says_is_no_chips() -> None:
    machine = Machine().node("/dev/accel0", (122, 0))
    in_accel(machine, function(machine, ADDRESS, V4, "tpu"), "accel0", (121, 0))
    assert [chip.problem for chip in seen(machine).tpus] == ["/dev/accel0 is 122:0, its driver says 121:0"]


def test_a_node_that_is_missing_or_no_character_device_is_said() -> None:
    for machine in (Machine(), Machine().node("/dev/accel0", (121, 0), kind=stat.S_IFBLK)):
        in_accel(machine, function(machine, ADDRESS, V4, "tpu"), "accel0")
        assert [chip.problem for chip in seen(machine).tpus] == ["/dev/accel0 is missing or no character device"]


def test_chips_are_counted_by_the_number_in_the_nodes_name() -> None:
    machine = Machine()
    for address, group in (("0000:00:04.0", 10), ("0000:00:05.0", 9), ("0000:00:06.0", 2)):
        in_group(machine, function(machine, address, V6E, "vfio-pci"), group)
        machine.node(f"/dev/vfio/{group}", (465, group))
    function(machine, "0000:00:03.0", V6E)
    host = seen(machine)
    assert [chip.nodes for chip in host.tpus] == [("/dev/vfio/2",), ("/dev/vfio/9",), ("/dev/vfio/10",), ()]
    assert [chip.rank for chip in host.tpus] == [0, 1, 2, 3]


@pytest.mark.rows("H14", oracle="specification")
def test_a_chip_of_two_functions_is_one_chip_with_two_nodes() -> None:
    machine = Machine()
    for group, address in enumerate(("0000:00:04.0", "0000:00:04.1", "0000:00:05.0", "0000:00:05.1")):
        in_group(machine, function(machine, address, V7, "vfio-pci"), group)
        machine.node(f"/dev/vfio/{group}", (465, group))
    assert [chip.nodes for chip in seen(machine).tpus] == [
        ("/dev/vfio/0", "/dev/vfio/1"),
        ("/dev/vfio/2", "/dev/vfio/3"),
    ]


# random machines

IDS = st.sampled_from([V4, V5P, V6E, V7, BLUEFIELD, NPU, GVNIC, (0x1AE0, 0x006E)])
SLOTS = st.lists(
    st.tuples(
        IDS,
        st.sampled_from(["", "vfio-pci", "tpu", "intel_vpu"]),
        st.one_of(st.none(), st.integers(0, 4)),  # the IOMMU group
        st.one_of(st.none(), st.sampled_from(["accel0", "accel1", "accel2", "accel_controlD0", "x"])),
    ),
    max_size=6,
)
NODES = st.dictionaries(
    st.sampled_from(
        [
            *(f"/dev/accel{n}" for n in range(3)),
            *(f"/dev/vfio/{n}" for n in range(5)),
            "/dev/accel/accel0",
            "/dev/vfio/vfio",
        ]
    ),
    st.tuples(st.sampled_from([stat.S_IFCHR, stat.S_IFBLK, stat.S_IFREG]), st.integers(0, 5)),
)
REFUSED = st.lists(
    st.sampled_from(
        [
            "/sys/class/accel",
            "/sys/kernel/iommu_groups/1/devices",
            "/dev/vfio",
            f"/sys/devices/pci0000:00/{ADDRESS}/uevent",
        ]
    )
)


@pytest.mark.property
@given(slots=SLOTS, nodes=NODES, refused=REFUSED)
def test_no_machine_has_a_tpu_that_is_none(
    slots: list[tuple[tuple[int, int], str, int | None, str | None]],
    nodes: dict[str, tuple[int, int]],
    refused: list[str],
) -> None:
    machine = Machine()
    for number, (ids, driver, group, accel) in enumerate(slots):
        directory = function(machine, f"0000:00:{number + 4:02x}.0", ids, driver)
        if group is not None:
            in_group(machine, directory, group)
        if accel is not None:
            in_accel(machine, directory, accel)
    for path, (kind, minor) in nodes.items():
        machine.node(path, (465, minor), kind=kind)
    for path in refused:
        machine.refuse(path)
    host = seen(machine)
    devices = {device.address: device for device in host.pci}
    members = {f"/dev/vfio/{group.number}": group.members for group in host.iommu_groups}
    given_out = [path for chip in host.tpus for path in chip.nodes] + [a.path for a in host.accelerators]
    assert len(given_out) == len(set(given_out))
    for chip in host.tpus:
        assert bool(chip.nodes) != bool(chip.problem)
        assert generation_of(devices[chip.address])
        for path in chip.nodes:
            node = host.node(path)
            assert node is not None
            assert node.kind is NodeKind.CHARACTER
            assert members.get(path, (chip.address,)) == (chip.address,)
            assert path.startswith("/dev/vfio/") == (chip.driver == "vfio-pci")
    assert probe_reader(machine, name="machine", simulated=True) == host


@pytest.mark.property
@given(link=st.text(max_size=20).filter(lambda text: "\0" not in text), dev=st.binary(max_size=20))
def test_whatever_sysfs_says_the_probe_does_not_raise(link: str, dev: bytes) -> None:
    machine = Machine().node("/dev/accel0", (121, 0)).node("/dev/vfio/0", (465, 0))
    directory = function(machine, ADDRESS, V4, "vfio-pci")
    machine.link(f"{directory}/iommu_group", link).link("/sys/class/accel/accel0", link)
    other = function(machine, "0000:00:05.0", V4, "tpu")
    in_accel(machine, other, "accel1")
    machine.file(f"{other}/accel/accel1/dev", dev)
    assert usable(seen(machine)) == []
