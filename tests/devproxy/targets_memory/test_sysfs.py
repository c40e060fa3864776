"""The sysfs of a root in memory: what libtpu reads there to find its TPUs (S49, S75, S81; H16)."""

from __future__ import annotations

import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.host.facts import Host, SysfsEntry
from devproxy.host.probe import probe, probe_reader
from devproxy.mount_options import Change
from devproxy.targets.memory import MemoryTarget
from devproxy.targets.memory.root import MemoryRoot
from devproxy.targets.memory.sysfs import parse_cpu_list, sysfs_tree
from devproxy.targets.target import Target
from tests.contract.targets.rig import HOST, tmpfs_root
from tests.hosts.machine import Machine
from tests.hosts.make import RECORDINGS

HOSTS = {os.path.basename(path).removesuffix(".tar"): probe(path) for path in RECORDINGS}
V4, V5P = HOSTS["tpu-v4"], HOSTS["tpu-v5p"]


def root_of(host: Host) -> MemoryRoot:
    def work(target: Target) -> None:
        tmpfs_root(target)
        target.make_directory("/sys", 0o755)
        target.attach(target.filesystem("sysfs", "sysfs", Change(), (), ()), "/sys")

    with MemoryTarget(host) as target:
        work(target)
        target.finish()
        return target.root()


def chips_like_libtpu(root: MemoryRoot) -> list[tuple[str, str, str]]:
    """Address, device id and node of each TPU, found as libtpu and tpu-info find them."""
    found = []
    for address in root.listdir("/sys/bus/pci/devices"):
        directory = f"/sys/bus/pci/devices/{address}"
        if root.read_bytes(f"{directory}/vendor") != b"0x1ae0\n":
            continue
        names = root.listdir(directory)
        if "iommu_group" in names:
            group = os.path.basename(root.readlink(f"{directory}/iommu_group"))
            assert root.listdir(f"/sys/kernel/iommu_groups/{group}/devices") == [address]
            node = f"/dev/vfio/{group}"
        else:
            (accel,) = root.listdir(f"{directory}/accel")
            node = f"/dev/{accel}"
        found.append((address, root.read_bytes(f"{directory}/device").decode().strip(), node))
    return found


@pytest.mark.rows("S75", oracle="specification")
def test_s75_the_accel_class_leads_to_the_chips() -> None:
    with root_of(V4) as root:
        assert root.listdir("/sys/class/accel") == ["accel0", "accel1", "accel2", "accel3"]
        assert root.readlink("/sys/class/accel/accel2") == "../../devices/pci0000:00/0000:00:06.0/accel/accel2"
        assert root.readlink("/sys/class/accel/accel2/device") == "../../../0000:00:06.0"
        assert root.read_bytes("/sys/class/accel/accel2/device/device") == b"0x005e\n"
        assert root.read_bytes("/sys/class/accel/accel2/dev") == b"121:2\n"
        assert root.read_bytes("/sys/class/accel/accel0/pci_address") == b"0000:00:04.0\n"


@pytest.mark.rows("S75", "H16", oracle="specification")
@pytest.mark.parametrize(("host", "device"), [(V4, "0x005e"), (V5P, "0x0062")])
def test_every_chip_is_found_as_libtpu_finds_it(host: Host, device: str) -> None:
    with root_of(host) as root:
        assert chips_like_libtpu(root) == [(chip.address, device, chip.nodes[0]) for chip in host.tpus]


@pytest.mark.rows("H16", oracle="specification")
def test_vfio_devices_have_their_class() -> None:
    with root_of(V5P) as root:
        names = root.listdir("/sys/class/vfio-dev")
        assert names == ["vfio0", "vfio1", "vfio2", "vfio3"]
        devices = [os.path.basename(root.readlink(f"/sys/class/vfio-dev/{name}/device")) for name in names]
        assert devices == ["0000:00:07.0", "0000:00:05.0", "0000:00:04.0", "0000:00:06.0"]


def nested() -> Host:
    """A chip behind a bridge of another PCI root, as a virtual function of one beside it."""
    machine = Machine()
    root = "/sys/devices/pci00a0:40/00a0:40:01.0"
    for address, other in (("00a0:41:00.0", ("virtfn0", "00a0:41:00.1")), ("00a0:41:00.1", ("physfn", "00a0:41:00.0"))):
        machine.link(f"/sys/bus/pci/devices/{address}", f"../../..{root[4:]}/{address}")
        machine.file(f"{root}/{address}/uevent", "DRIVER=vfio-pci\nPCI_CLASS=FF0000\nPCI_ID=1AE0:0062\n")
        machine.file(f"{root}/{address}/vendor", "0x1ae0\n").file(f"{root}/{address}/device", "0x0062\n")
        machine.file(f"{root}/{address}/resource0", "a piece of the device")
        machine.link(f"{root}/{address}/{other[0]}", f"../{other[1]}")
    return probe_reader(machine, name="nested", simulated=True)


@pytest.mark.rows("H16", oracle="specification")
def test_h16_a_chip_behind_a_bridge_keeps_its_place_and_its_functions() -> None:
    with root_of(nested()) as root:
        place = "/sys/devices/pci00a0:40/00a0:40:01.0"
        assert root.listdir("/sys/bus/pci/devices") == ["00a0:41:00.0", "00a0:41:00.1"]
        link = root.readlink("/sys/bus/pci/devices/00a0:41:00.1")
        assert link == "../../../devices/pci00a0:40/00a0:40:01.0/00a0:41:00.1"
        assert root.readlink(f"{place}/00a0:41:00.1/physfn") == "../00a0:41:00.0"
        assert root.read_bytes(f"{place}/00a0:41:00.0/virtfn0/device") == b"0x0062\n"
        assert root.listdir(f"{place}/00a0:41:00.0") == ["device", "vendor", "virtfn0"], "no resource is ever read"


@pytest.mark.rows("S75", "H16", oracle="specification")
@pytest.mark.parametrize("name", ["mixed", "cpu-only", "host-8gpu"])
def test_other_devices_are_not_shown(name: str) -> None:
    with root_of(HOSTS[name]) as root:
        assert root.listdir("/sys/bus") == []
        assert root.listdir("/sys/class") == ["dmi", "net", "power_supply"]
        assert root.listdir("/sys/kernel") == []


@pytest.mark.rows("S49", "S81", oracle="specification")
def test_s49_s81_the_machines_product_name_and_cpus() -> None:
    with root_of(V4) as root:
        assert root.read_bytes("/sys/class/dmi/id/product_name") == b"Google Compute Engine\n"
        assert root.readlink("/sys/class/dmi/id") == "../../devices/virtual/dmi/id"
        assert root.lstat("/sys/class/dmi/id/product_name").st_mode == stat.S_IFREG | 0o444
        names = root.listdir("/sys/devices/system/cpu")
        assert names == ["cpu0", "cpu1", "cpu2", "cpu3", "online", "possible", "present"]
    with root_of(HOST) as root:
        assert root.listdir("/sys/class") == ["net", "power_supply"]


@pytest.mark.rows("S81", oracle="specification")
@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("0\n", [0]),
        ("0-3,8\n", [0, 1, 2, 3, 8]),
        ("", []),
        ("x", []),
        ("0-", [0]),
        ("-1", []),
        ("0-9999999999", []),
        ("3-1", []),
    ],
)
def test_the_kernels_list_of_cpus(text: str, cpus: list[int]) -> None:
    assert parse_cpu_list(text) == cpus


PATHS = st.lists(st.sampled_from(["a", "b", "class", "net", "block", "..", ".", "devices", "dmi"]), max_size=4)


@pytest.mark.property
@given(st.lists(st.tuples(st.sampled_from(["/sys", "", "/proc"]), PATHS, st.booleans())), st.sampled_from(["", "x"]))
def test_whatever_a_recording_says_of_sysfs_it_can_be_shown(
    entries: list[tuple[str, list[str], bool]], product: str
) -> None:
    sysfs = tuple(SysfsEntry("/".join([top, *path]), "text", "to" if link else "") for top, path, link in entries)
    host = HOST._replace(sysfs=sysfs, product_name=product)
    with root_of(host) as root:
        assert "dmi" in root.listdir("/sys/class") or not product
    assert not any(path.startswith(("/", "..")) for path, _ in sysfs_tree(host))
