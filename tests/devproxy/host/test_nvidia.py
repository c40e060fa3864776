"""/proc/driver/nvidia: versions, parameters, GPUs, and the order that nvidia-smi gives them."""

from __future__ import annotations

import errno
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.host.facts import Nvidia, PciDevice
from devproxy.host.nvidia import parse_fields, parse_version, read_nvidia
from devproxy.host.pci import parse_address
from devproxy.host.root import HostRoot
from tests.hosts.machine import Machine

GPUS = "/proc/driver/nvidia/gpus"


def pci(address: str, *, vendor: int = 0x10DE, class_code: int = 0x030200, driver: str = "") -> PciDevice:
    return PciDevice(address, vendor, 0x2330, class_code, driver, -1, f"/sys/devices/{address}")


def with_gpu(machine: Machine, address: str, text: str) -> Machine:
    return machine.file(f"{GPUS}/{address}/information", text)


def nvidia_of(machine: Machine, *devices: PciDevice) -> Nvidia:
    found = read_nvidia(HostRoot(machine), devices)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.173.02  Tue Jun 23 08:38:17 UTC 2026", "580.173.02"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.16  Release Build", "570.86.16"),
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  460.32  Sun Dec 27 2020", "460.32"),
        ("NVRM version: none\nGCC version:  gcc version 12.3.0", ""),
        ("1.2.3.4 .5 6. \u0661.\u0662 -1.2", ""),
        ("", ""),
    ],
)
def test_the_version_is_the_first_word_of_numbers_in_the_first_line(line: str, version: str) -> None:
    assert parse_version(line) == version


@pytest.mark.parametrize(
    "text",
    [
        "Model: \t\t NVIDIA L4\nDevice Minor: \t 3\n",
        "Model:           NVIDIA L4\nDevice Minor:    3",
        "Model:NVIDIA L4\nDevice Minor:3\n",
    ],
)
def test_tabs_and_spaces_around_a_value_mean_nothing(text: str) -> None:
    (gpu,) = nvidia_of(with_gpu(Machine(), "0000:70:00.0", text)).gpus
    assert (gpu.model, gpu.minor, gpu.address) == ("NVIDIA L4", 3, "0000:70:00.0")
    assert gpu.source == f"{GPUS}/0000:70:00.0/information"


@pytest.mark.parametrize(
    ("line", "uuid"),
    [
        ("GPU UUID: \t GPU-3291dfa4-fcc4-0110-615b-c894a0d7c689", "GPU-3291dfa4-fcc4-0110-615b-c894a0d7c689"),
        ("GPU UUID: \t GPU-????????-????-????-????-????????????", None),
        ("GPU UUID: \t ", None),
        ("IRQ: 16", None),
    ],
)
def test_a_uuid_that_is_not_known_yet_is_none(line: str, uuid: str | None) -> None:
    (gpu,) = nvidia_of(with_gpu(Machine(), "0000:70:00.0", line)).gpus
    assert gpu.uuid == uuid


def test_params_keep_their_order_and_lose_their_quotes() -> None:
    text = 'ModifyDeviceFiles: 1\nDeviceFileMode: 438\nRegistryDwords: ""\nRmMsg: "a: b"\nTemporaryFilePath: "\n'
    assert nvidia_of(Machine().file("/proc/driver/nvidia/params", text)).params == (
        ("ModifyDeviceFiles", "1"),
        ("DeviceFileMode", "438"),
        ("RegistryDwords", ""),
        ("RmMsg", "a: b"),
        ("TemporaryFilePath", '"'),
    )


def test_lines_that_are_not_understood_are_unseen() -> None:
    machine = Machine().file("/proc/driver/nvidia/params", "ModifyDeviceFiles: 1\nnonsense\n")
    with_gpu(machine, "0000:70:00.0", "Device Minor: many\nodd\n")
    with_gpu(machine, "unheard-of", "Device Minor: 1\n")
    root = HostRoot(machine)
    found = read_nvidia(root, ())
    assert found is not None
    assert [gpu.minor for gpu in found.gpus] == [None]
    assert {(unseen.path, unseen.why.split()[0]) for unseen in root.unseen} == {
        ("/proc/driver/nvidia/params", "1"),
        (f"{GPUS}/0000:70:00.0/information", "1"),
        (f"{GPUS}/0000:70:00.0/information", "Device"),
        (f"{GPUS}/unheard-of/information", "'unheard-of'"),
    }


def test_a_gpu_whose_file_cannot_be_read_is_still_a_gpu() -> None:
    root = HostRoot(Machine().refuse(f"{GPUS}/0000:70:00.0/information", errno.EIO))
    found = read_nvidia(root, ())
    assert found is not None
    assert [(gpu.address, gpu.minor, gpu.uuid, gpu.model) for gpu in found.gpus] == [("0000:70:00.0", None, None, "")]
    assert [unseen.why.split(":")[0] for unseen in root.unseen] == ["EIO"]


ADDRESSES = st.builds(
    "{:04x}:{:02x}:{:02x}.{:x}".format,
    st.integers(0, 0x1FFFF),
    st.integers(0, 255),
    st.integers(0, 31),
    st.integers(0, 7),
)


@pytest.mark.property
@given(st.lists(ADDRESSES, min_size=1, max_size=12, unique=True), st.integers())
def test_the_rank_is_the_place_by_address_whatever_the_minor(addresses: list[str], seed: int) -> None:
    minors = list(range(len(addresses)))
    random.Random(seed).shuffle(minors)
    machine = Machine()
    for address, minor in zip(addresses, minors, strict=True):
        with_gpu(machine, address, f"Device Minor: {minor}\n")
    gpus = nvidia_of(machine, *map(pci, addresses)).gpus
    assert [gpu.rank for gpu in gpus] == list(range(len(addresses)))
    assert dict(zip(addresses, minors, strict=True)) == {gpu.address: gpu.minor for gpu in gpus}
    assert [gpu.address for gpu in gpus] == sorted(addresses, key=lambda address: parse_address(address) or ())


def test_gpus_that_nvidia_smi_does_not_show_shift_no_rank() -> None:
    machine = Machine()
    with_gpu(machine, "0000:03:00.0", "Device Minor: 1\n")
    with_gpu(machine, "0000:02:00.0", "Device Minor: 0\nGPU Excluded:\t Yes\n")
    gpus = nvidia_of(machine, pci("0000:01:00.0", driver="vfio-pci"), pci("0000:02:00.0"), pci("0000:03:00.0")).gpus
    assert [(gpu.address, gpu.rank, gpu.minor) for gpu in gpus] == [
        ("0000:03:00.0", 0, 1),
        ("0000:01:00.0", 1, None),
        ("0000:02:00.0", 2, 0),
    ]


@pytest.mark.parametrize("class_code", [0x030000, 0x030200, 0x0302FF])
def test_a_gpu_without_a_driver_is_listed_without_a_minor(class_code: int) -> None:
    (gpu,) = nvidia_of(Machine(), pci("0000:07:00.0", class_code=class_code)).gpus
    assert (gpu.minor, gpu.uuid, gpu.source) == (None, None, "/sys/devices/0000:07:00.0")


@pytest.mark.parametrize(
    ("vendor", "class_code"), [(0x10DE, 0x040300), (0x10DE, 0x068000), (0x10DE, 0x030100), (0x1002, 0x030000)]
)
def test_no_driver_and_no_gpu_is_no_nvidia(vendor: int, class_code: int) -> None:
    assert read_nvidia(HostRoot(Machine()), (pci("0000:07:00.0", vendor=vendor, class_code=class_code),)) is None


@pytest.mark.property
@given(st.text())
def test_fields_lose_no_line(text: str) -> None:
    fields, bad = parse_fields(text)
    assert len(fields) + len(bad) == len([line for line in text.split("\n") if line.strip()])
