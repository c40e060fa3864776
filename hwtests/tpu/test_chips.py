"""TPUs: the probe agrees with sysfs, udev and the nodes; what opening a chip that is in use says; who holds it.

Nothing is asked of a chip but to be opened and closed, and only one that nobody holds.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

import devproxy
from devproxy.host.facts import Host, TpuChip
from devproxy.pytest_plugin.leasing import Accelerators
from hwtests.conftest import Tell

GOOGLE = "0x1ae0"
VFIO = "/dev/vfio/"


@pytest.fixture(autouse=True)
def usable(tpu_host: Host) -> list[TpuChip]:
    """The chips that have nodes."""
    return [chip for chip in tpu_host.tpus if chip.nodes]


def read(path: str) -> str:
    return Path(path).read_text(encoding="ascii").strip()


def test_each_chip_is_googles(usable: list[TpuChip], tell: Tell) -> None:
    for chip in usable:
        function = f"/sys/bus/pci/devices/{chip.address}"
        ids = read(f"{function}/vendor"), read(f"{function}/device")
        tell(chip.address, {"generation": chip.generation, "nodes": chip.nodes, "ids": ids})
        assert ids[0] == GOOGLE
        assert os.path.basename(os.readlink(f"{function}/driver")) == chip.driver


def test_each_function_of_google_that_is_a_tpu_is_counted_once(tpu_host: Host, tell: Tell) -> None:
    """Google has other functions on the bus (gVNIC): of a class that is no accelerator's."""
    functions = [Path(path) for path in Path("/sys/bus/pci/devices").iterdir()]
    accelerators = {
        path.name
        for path in functions
        if read(f"{path}/vendor") == GOOGLE and read(f"{path}/class").startswith(("0x1200", "0x0880", "0xff00"))
    }
    counted = [chip.address for chip in tpu_host.tpus]
    tell("functions", {"accelerators": sorted(accelerators), "counted": counted})
    assert len(counted) == len(set(counted))
    assert set(counted) <= {path.name for path in functions}


def test_each_node_has_the_number_that_sysfs_says(usable: list[TpuChip], tpu_host: Host, tell: Tell) -> None:
    for path in (path for chip in usable for path in chip.nodes if not path.startswith(VFIO)):
        found = os.lstat(path)
        number = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
        tell(path, number)
        assert stat.S_ISCHR(found.st_mode)
        assert read(f"/sys/class/accel/{os.path.basename(path)}/dev") == number
        assert os.path.realpath(f"/sys/dev/char/{number}/device").endswith(
            next(chip.address for chip in usable if path in chip.nodes)
        )
        node = tpu_host.node(path)
        assert node is not None
        assert str(node.number) == number


def test_each_vfio_node_is_the_group_of_its_chip(usable: list[TpuChip], tell: Tell) -> None:
    for chip in usable:
        for path in (path for path in chip.nodes if path.startswith(VFIO)):
            group = os.path.realpath(f"/sys/bus/pci/devices/{chip.address}/iommu_group")
            members = sorted(os.listdir(f"{group}/devices"))
            tell(path, {"group": group, "members": members})
            assert path == f"{VFIO}{os.path.basename(group)}"
            assert chip.address in members
            assert {read(f"/sys/bus/pci/devices/{member}/vendor") for member in members} == {GOOGLE}


def test_two_probes_agree(tpu_host: Host, tell: Tell) -> None:
    again = devproxy.probe()
    tell("chips", [chip._asdict() for chip in again.tpus])
    assert (again.tpus, again.iommu_groups, again.nodes) == (tpu_host.tpus, tpu_host.iommu_groups, tpu_host.nodes)


# A chip that somebody has is not waited for: run this when no job does.
a_chip = pytest.mark.accelerators(1, kind="tpu", wait=0)


@pytest.fixture
def held(accelerators: Accelerators) -> Iterator[str]:
    """The leased chip's node, opened."""
    path = accelerators.nodes[0]
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield path
    finally:
        os.close(descriptor)


@a_chip
def test_a_chip_in_use_says_so(held: str, tell: Tell) -> None:
    """One opener at a time: the second is told EBUSY (a vfio group: drivers/vfio/group.c)."""
    try:
        os.close(os.open(held, os.O_RDWR | os.O_CLOEXEC))
        said = "opened"
    except OSError as error:
        said = errno.errorcode.get(error.errno or 0, str(error.errno))
    tell(held, said)
    assert said == "EBUSY"


@a_chip
def test_the_holder_is_found(held: str, tell: Tell) -> None:
    details = devproxy.probe(deep=True).details
    assert details is not None
    assert details.devices.holders is not None
    mine = [holder for holder in details.devices.holders.holders if holder.pid == os.getpid()]
    tell(held, [holder._asdict() for holder in mine])
    assert [path for holder in mine for path in holder.paths] == [held]
