"""The small sources: PCI functions, the kernel's name, the machine's, the limits."""

from __future__ import annotations

import re
import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.host.facts import Limit, PciDevice
from devproxy.host.kernel import read_kernel, read_limits, read_product_name
from devproxy.host.pci import parse_address, read_pci
from devproxy.host.root import HostRoot, LiveReader
from tests.hosts.machine import Machine

GPU = "DRIVER=nvidia\nPCI_CLASS=30200\nPCI_ID=10DE:2330\nMODALIAS=pci:x=y\n"


def with_function(machine: Machine, address: str, uevent: str, numa_node: str | None = None) -> Machine:
    machine.link(f"/sys/bus/pci/devices/{address}", f"../../../devices/pci/{address}")
    machine.file(f"/sys/devices/pci/{address}/uevent", uevent)
    return machine if numa_node is None else machine.file(f"/sys/devices/pci/{address}/numa_node", numa_node)


@pytest.mark.property
@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 255), st.integers(0, 31), st.integers(0, 7))
def test_an_address_is_read_as_the_kernel_writes_it(domain: int, bus: int, device: int, function: int) -> None:
    # "%04x:%02x:%02x.%d" in pci_setup_device()
    text = f"{domain:04x}:{bus:02x}:{device:02x}.{function:d}"
    assert parse_address(text) == (domain, bus, device, function)


@pytest.mark.parametrize("text", ["", "0000:00:00", "00:00.0", "0000:00:00.", "0000::00.0", "0x00:00:00.0", "a:b:c.g"])
def test_what_is_no_address(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.property
@given(st.text("09afAFgx_+- \u0664", max_size=9))
def test_a_part_of_an_address_is_one_to_eight_digits(text: str) -> None:
    expected = (int(text, 16), 0, 0, 0) if re.fullmatch("[0-9a-fA-F]{1,8}", text) else None
    assert parse_address(f"{text}:00:00.0") == expected


def test_a_function_has_its_numbers_its_driver_and_its_place() -> None:
    root = HostRoot(with_function(Machine(), "0000:18:00.0", GPU, "1\n"))
    source = "/sys/devices/pci/0000:18:00.0"
    assert read_pci(root) == (PciDevice("0000:18:00.0", 0x10DE, 0x2330, 0x030200, "nvidia", 1, source),)
    assert root.unseen == ()


def test_a_function_without_driver_and_numa_node() -> None:
    root = HostRoot(with_function(Machine(), "0000:18:00.0", GPU.replace("DRIVER=nvidia\n", ""), "-1\n"))
    (device,) = read_pci(root)
    assert (device.driver, device.numa_node, root.unseen) == ("", -1, ())


def test_functions_are_ordered_by_number_not_by_letter() -> None:
    machine = Machine()
    for address in ("10000:00:00.0", "2000:00:00.0", "0000:0a:00.0", "0000:0A:1f.7"):
        with_function(machine, address, GPU)
    addresses = [device.address for device in read_pci(HostRoot(machine))]
    assert addresses == ["0000:0a:00.0", "0000:0A:1f.7", "2000:00:00.0", "10000:00:00.0"]


def test_a_function_that_goes_away_is_passed_over() -> None:
    root = HostRoot(Machine().link("/sys/bus/pci/devices/0000:18:00.0", "../../../devices/pci/0000:18:00.0"))
    assert (read_pci(root), root.unseen) == ((), ())


@pytest.mark.parametrize(
    ("uevent", "numa_node", "found"),
    [
        ("PCI_CLASS=30200\n", "0", 0),
        ("PCI_ID=10DE:2330\n", "0", 0),
        ("PCI_CLASS=x\nPCI_ID=1:2\n", "0", 0),
        (GPU, "many", 1),
    ],
)
def test_what_is_not_understood_of_a_function_is_unseen(uevent: str, numa_node: str, found: int) -> None:
    root = HostRoot(with_function(Machine(), "0000:18:00.0", uevent, numa_node))
    assert len(read_pci(root)) == found
    (unseen,) = root.unseen
    assert unseen.path.startswith("/sys/devices/pci/0000:18:00.0/")


def test_the_product_name_is_the_boards() -> None:
    machine = Machine().file("/sys/devices/virtual/dmi/id/product_name", "Some Board 3 \n")
    assert read_product_name(HostRoot(machine)) == "Some Board 3"
    assert read_product_name(HostRoot(Machine())) == ""


def test_limits_are_those_of_this_process() -> None:
    with LiveReader() as reader:
        limits = read_limits(HostRoot(reader))
    assert [limit.name for limit in limits] == sorted(limit.name for limit in limits)
    for limit in limits:
        pair = resource.getrlimit(getattr(resource, limit.name))
        assert (limit.soft, limit.hard) == tuple(None if value == resource.RLIM_INFINITY else value for value in pair)


def test_facts_of_a_recording_that_make_no_sense_are_unseen() -> None:
    machine = Machine().fact("uname", {"release": 6}).fact("limits", {"A": [1, None], "B": [1], "C": "x"})
    root = HostRoot(machine)
    assert read_kernel(root) == ""
    assert read_limits(root) == (Limit("A", 1, None),)
    assert [unseen.path for unseen in root.unseen] == ["facts/uname.json", "facts/limits.json", "facts/limits.json"]
