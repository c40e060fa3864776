"""A recording that a real kernel made: the lab's guest, with stub drivers (hwtests/README.md, "The lab").

What the made-up machines of tests/hosts/make.py cannot show: that the files look as Linux writes them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import devproxy
from devproxy.host.facts import Host
from devproxy.host.recording_file import decode
from hwtests.gpu.shape import shapes, unknown_to
from tests.bundles import runc_spec_like, write_bundle

RECORDING = Path(__file__).parent.parent.parent / "hosts" / "lab.tar"


@pytest.fixture(scope="module")
def host() -> Host:
    return devproxy.probe(str(RECORDING), deep=True)


def test_it_comes_from_a_kernel(host: Host) -> None:
    assert host.kernel.startswith("6.12.")
    assert host.simulated
    decode(RECORDING.read_bytes())


def test_three_gpus_one_of_them_cut_in_two(host: Host) -> None:
    assert host.nvidia is not None
    assert host.nvidia.version == "550.163.01"
    assert [(gpu.address, gpu.minor) for gpu in host.nvidia.gpus] == [
        ("0001:00:01.0", 0),
        ("0001:00:02.0", 1),
        ("0001:00:03.0", 2),
    ]
    assert [mig.gpu for mig in host.nvidia.mig] == [1, 1]


def test_majors_are_dynamic_and_their_nodes_agree(host: Host) -> None:
    for path, driver in (("/dev/nvidia-uvm", "nvidia-uvm"), ("/dev/accel0", "accel"), ("/dev/vfio/0", "vfio")):
        node = host.node(path)
        assert node is not None
        assert node.number.major == host.major_of(driver)


def test_tpus_of_both_kinds(host: Host) -> None:
    assert sorted((chip.generation, chip.nodes) for chip in host.tpus) == [
        ("v4", ("/dev/accel0",)),
        ("v4", ("/dev/accel1",)),
        ("v5e", ("/dev/vfio/0",)),
        ("v5e", ("/dev/vfio/1",)),
    ]


def test_a_plan_for_it_has_its_numbers(host: Host, tmp_path: Path) -> None:
    config = runc_spec_like(process={"env": ["PATH=/bin", "NVIDIA_VISIBLE_DEVICES=all"]})
    plan = devproxy.plan(devproxy.load(write_bundle(tmp_path / "bundle", config, rootfs="empty")), host)
    with devproxy.build(plan, "memory") as root:
        assert {"nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm"} <= set(root.listdir("/dev"))
        found = root.stat("/dev/nvidia-uvm").st_rdev
        node = host.node("/dev/nvidia-uvm")
        assert node is not None
        assert found == node.number.major << 8 | node.number.minor


def test_what_the_stub_driver_says_is_compared_by_names() -> None:
    """What hwtests/gpu/test_stub.py holds the stub to, on machines with a real driver."""
    stub = decode(RECORDING.read_bytes())
    assert {kind for kind, names in shapes(stub).items() if names} >= {"params", "information", "capability", "majors"}
    assert unknown_to(stub, stub) == {}
    path = "/proc/driver/nvidia/params"
    kept = stub.files[path]
    more = stub._replace(files={**stub.files, path: kept._replace(data=kept.data + b"MadeUp: 1\n")})
    assert unknown_to(stub, more) == {"params": {"MadeUp"}}
    assert unknown_to(more, stub) == {}
