"""What answers when a node is opened in memory; the kernel's own devices are the oracle where they are the same."""

from __future__ import annotations

import errno
import os

import pytest

from devproxy.drivers import register_drivers
from devproxy.drivers.tun import TUNSETIFF
from devproxy.host.facts import Host, HostNode, MajorLine, Nvidia, NvidiaGpu
from devproxy.host.probe import probe
from devproxy.node import DeviceNumber as HostNumber
from devproxy.node import NodeKind
from tests import hosts
from vfs.device import DeviceKind, DeviceNumber, DeviceTable, OpenDevice

NO_NVIDIA = Host("bare", False, "6.18", "", (), (), (), (), (), None, ())
GPUS = tuple(NvidiaGpu(rank, f"0000:0{rank}:00.0", minor, None, "", "nvml") for rank, minor in ((0, 1), (1, 0)))
TWO_GPUS = NO_NVIDIA._replace(
    name="two.tar",
    simulated=True,
    character=(MajorLine(195, "nvidia-frontend"), MajorLine(511, "nvidia-uvm")),
    nodes=(HostNode("/dev/nvidia-uvm", NodeKind.CHARACTER, HostNumber(511, 0), 0o666, 0, 0),),
    nvidia=Nvidia("535.129.03", (), GPUS),
)
MIG = probe(os.path.join(os.path.dirname(hosts.__file__), "mig.tar"))
MEMORY = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}


def open_device(major: int, minor: int, host: Host = NO_NVIDIA) -> OpenDevice:
    table = DeviceTable()
    register_drivers(table, host)
    return table.open(DeviceKind.CHARACTER, DeviceNumber(major, minor), os.O_RDWR)


def errno_of(major: int, minor: int, host: Host) -> int | None:
    with pytest.raises(OSError) as caught:
        open_device(major, minor, host)
    return caught.value.errno


@pytest.mark.parametrize("name", MEMORY)
@pytest.mark.rows("S10", oracle="specification")
def test_memory_devices_read_seek_and_write_as_the_kernels_do(name: str) -> None:
    device, fd = open_device(1, MEMORY[name]), os.open(f"/dev/{name}", os.O_RDWR)
    try:
        theirs, ours = os.read(fd, 64), device.read(64, 0)
        assert len(ours) == len(theirs)
        if "random" not in name:
            assert ours == theirs
        assert device.seek(100, os.SEEK_SET, 0) == os.lseek(fd, 100, os.SEEK_SET)
        for data in (b"", b"abc"):
            assert outcome(lambda data=data: device.write(data, 0)) == outcome(lambda data=data: os.write(fd, data))
    finally:
        os.close(fd)


def outcome(call: object) -> object:
    assert callable(call)
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def test_random_bytes_differ() -> None:
    assert open_device(1, 8).read(32, 0) != open_device(1, 9).read(32, 0)


@pytest.mark.parametrize(
    ("number", "expected"),
    [((5, 0), errno.ENXIO), ((1, 1), errno.ENXIO), ((195, 0), errno.ENXIO), ((10, 237), errno.ENXIO)],
)
def test_what_has_no_terminal_driver_or_hardware_is_enxio(number: tuple[int, int], expected: int) -> None:
    assert errno_of(*number, NO_NVIDIA) == expected


@pytest.mark.rows("S10", oracle="specification")
def test_tun_has_no_interface_and_none_may_be_made() -> None:
    device = open_device(10, 200)
    assert outcome(lambda: device.read(1, 0)) == outcome(lambda: device.write(b"x", 0)) == "EBADFD"
    assert outcome(lambda: device.ioctl(TUNSETIFF, None)) == "EPERM"
    assert outcome(lambda: device.ioctl(0x800454D2, None)) == "EBADFD"


@pytest.mark.rows("S10", oracle="specification")
def test_fuse_is_not_mounted() -> None:
    device = open_device(10, 229)
    assert outcome(lambda: device.read(1, 0)) == outcome(lambda: device.write(b"x", 0)) == "EPERM"


@pytest.mark.rows("S78", oracle="specification")
@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ((195, 0), errno.ENXIO),
        ((195, 1), errno.ENXIO),
        ((195, 2), errno.ENODEV),
        ((195, 255), errno.ENXIO),
        ((511, 0), errno.ENXIO),
        ((511, 1), errno.ENXIO),
    ],
)
def test_a_gpu_of_the_host_is_enxio_and_any_other_minor_enodev(number: tuple[int, int], expected: int) -> None:
    assert errno_of(*number, TWO_GPUS) == expected


@pytest.mark.parametrize(
    ("driver", "minors"),
    [
        ("nvidia-caps", (1, 2, 282, 283, 291, 292, 4323, 0)),
        ("nvidia-caps-imex-channels", (0, 1, 2047)),
        ("nvidia-nvswitch", (0, 1, 2, 3, 255)),
        ("nvidia-uvm", (0, 1)),
    ],
)
def test_the_devices_of_a_partitioned_host_are_shown_and_no_others_are(driver: str, minors: tuple[int, ...]) -> None:
    table = DeviceTable()
    register_drivers(table, MIG)
    major = MIG.major_of(driver)
    assert {each.number.minor for each in table if each.number.major == major} == set(minors)
    assert {each.group for each in table if each.number.major == major} == {driver}


def test_the_message_names_host_and_number() -> None:
    with pytest.raises(OSError, match=r"host two\.tar has no NVIDIA device 195:2"):
        open_device(195, 2, TWO_GPUS)


@pytest.mark.rows("S3", "S6", oracle="specification")
def test_every_node_of_dev_is_registered_with_its_path_and_mode() -> None:
    table = DeviceTable()
    register_drivers(table, TWO_GPUS)
    named = {each.path: (str(each.number), each.group) for each in table if each.path is not None}
    assert named == {
        "null": ("1:3", "mem"),
        "zero": ("1:5", "mem"),
        "full": ("1:7", "mem"),
        "random": ("1:8", "mem"),
        "urandom": ("1:9", "mem"),
        "tty": ("5:0", "tty"),
        "net/tun": ("10:200", "misc"),
        "fuse": ("10:229", "misc"),
    }
    assert all(each.mode == 0o666 for each in table)


@pytest.mark.rows("S74", "S78", oracle="specification")
def test_accelerators_are_shown_by_the_hosts_nodes_and_answer_that_they_are_only_shown() -> None:
    def node(path: str, major: int, minor: int, kind: NodeKind = NodeKind.CHARACTER) -> HostNode:
        return HostNode(path, kind, HostNumber(major, minor), 0o600, 0, 0)

    nodes = (
        node("/dev/accel0", 121, 0),
        node("/dev/accel/accel0", 261, 0),
        node("/dev/dri/renderD128", 226, 128),
        node("/dev/kfd", 509, 0),
        node("/dev/vfio/7", 465, 2),
        node("/dev/vfio/vfio", 10, 196),
        node("/dev/vfio/again", 465, 2),
        node("/dev/accel9", 195, 0),
        node("/dev/accel8", 7, 0, NodeKind.BLOCK),
    )
    host = TWO_GPUS._replace(nodes=nodes)
    table = DeviceTable()
    register_drivers(table, host)
    groups = {number: group for (kind, number), group in table.groups().items() if kind is DeviceKind.CHARACTER}
    assert {major: groups[major] for major in (121, 226, 261, 465, 509)} == {
        121: "accel",
        226: "drm",
        261: "accel",
        465: "vfio",
        509: "kfd",
    }
    assert groups[195] == "nvidia"
    assert 7 not in groups
    for found in nodes[:6]:
        with pytest.raises(OSError, match=f"{found.path} .* is shown in memory") as caught:
            table.open(DeviceKind.CHARACTER, DeviceNumber(*found.number), os.O_RDWR)
        assert caught.value.errno == errno.ENXIO
