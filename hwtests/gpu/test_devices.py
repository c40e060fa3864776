"""What a deep probe says of devices, on real hardware: holders, opening, links, udev, NUMA. Nothing is changed."""

from __future__ import annotations

import os

import pytest

from devproxy.host.difference import differences
from devproxy.host.facts import Host
from devproxy.host.live.opens import open_each
from devproxy.host.probe import probe
from devproxy.host.watch import _look
from devproxy.pytest_plugin.leasing import Accelerators
from hwtests.conftest import Tell

pytestmark = pytest.mark.gpu


def nodes_of(host: Host) -> list[str]:
    assert host.nvidia is not None
    return [f"/dev/nvidia{gpu.minor}" for gpu in host.nvidia.gpus if gpu.minor is not None]


@pytest.mark.accelerators(1, kind="gpu", wait="1m")
def test_who_holds_a_gpu_is_found_and_gone_again(accelerators: Accelerators, tell: Tell) -> None:
    path = accelerators.nodes[0]
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        holders = probe(deep=True).details.devices.holders  # type: ignore[union-attr]
    finally:
        os.close(fd)
    assert holders is not None
    assert os.getpid() in [holder.pid for holder in holders.of(path)]
    after = probe(deep=True).details.devices.holders  # type: ignore[union-attr]
    assert after is not None
    assert os.getpid() not in [holder.pid for holder in after.of(path)]
    tell("holders", {"path": path, "names": [holder.name for holder in holders.of(path)], "complete": holders.complete})


def test_every_gpu_opens_as_what_its_node_says(gpu_host: Host, tell: Tell) -> None:
    paths = [*nodes_of(gpu_host), "/dev/nvidiactl"]
    expected = [{"errno": "", "number": str(gpu_host.node(path).number), "path": path} for path in paths]  # type: ignore[union-attr]
    assert open_each(paths) == expected
    tell("opened", ", ".join(paths))


def test_udev_knows_the_functions_and_none_of_nvidias_nodes(gpu_host: Host, tell: Tell) -> None:
    host = probe(deep=True)
    assert host.details is not None
    assert gpu_host.nvidia is not None
    udev = host.details.devices.udev
    assert udev is not None
    functions = {dict(device.properties).get("PCI_SLOT_NAME") for device in udev if device.subsystem == "pci"}
    assert {gpu.address for gpu in gpu_host.nvidia.gpus} <= functions
    assert not [device.node for device in udev if device.node.startswith("/dev/nvidia")]
    numa = {node.number for node in host.details.devices.numa}
    near = {device.numa_node for device in host.pci if device.address in {gpu.address for gpu in gpu_host.nvidia.gpus}}
    assert near - {-1} <= numa
    tell("udev", {"devices": len(udev), "NUMA nodes of the GPUs": sorted(near)})


def test_two_looks_at_a_machine_at_rest_do_not_differ(gpu_host: Host) -> None:
    assert differences(_look(), _look()) == ()
