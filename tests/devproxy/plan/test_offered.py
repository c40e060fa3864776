"""What a host offers to a new bundle (H30)."""

from __future__ import annotations

import os

import pytest

from devproxy.errors import InputError
from devproxy.host.facts import Host
from devproxy.host.probe import probe
from devproxy.oci.configuration import Configuration
from devproxy.oci.nvidia_env import parse_visible
from devproxy.plan.offered import Offered, offered
from tests.hosts.make import RECORDINGS

HOSTS = {os.path.basename(path): probe(path) for path in RECORDINGS}
NVIDIA = ["nvidiactl 195:255", "nvidia-uvm 462:0", "nvidia-uvm-tools 462:1"]


def offer(host: Host, gpus: str = "all") -> Offered:
    return offered(host, parse_visible(gpus, "--gpus"), Configuration())


def told(found: Offered) -> list[str]:
    return [f"{device.path.removeprefix('/dev/')} {device.number}" for device in found.devices]


@pytest.mark.rows("H30", oracle="specification")
@pytest.mark.parametrize(
    ("name", "gpus", "expected"),
    [
        ("host-8gpu.tar", "all", [*NVIDIA, *(f"nvidia{n} 195:{n}" for n in (0, 1, 3, 2, 4, 5, 6, 7))]),
        ("host-8gpu.tar", "2,0,2", [*NVIDIA, "nvidia3 195:3", "nvidia0 195:0"]),
        ("host-8gpu.tar", "void", []),
        ("mig.tar", "3:1", [*NVIDIA, "nvidia2 195:2", "nvidia-caps/nvidia-cap291 463:291", "nvidia-caps/nvidia-cap292 463:292"]),
        ("without-uvm.tar", "all", ["nvidiactl 195:255", "nvidia0 195:0"]),
        ("tpu-v4.tar", "all", [f"accel{n} 121:{n}" for n in range(4)]),
        ("cpu-only.tar", "all", []),
        ("cpu-only.tar", "none", []),
    ],
)  # fmt: skip
def test_h30_what_is_offered_has_the_numbers_of_this_host(name: str, gpus: str, expected: list[str]) -> None:
    assert told(offer(HOSTS[name], gpus)) == expected


@pytest.mark.rows("H30", oracle="specification")
def test_h30_a_group_of_vfio_is_offered_for_its_tpu_with_the_container_device_and_for_nothing_else() -> None:
    host = HOSTS["tpu-v5p.tar"]
    paths = [device.path for device in offer(host).devices]
    assert paths == [*(path for chip in host.tpus for path in chip.nodes), "/dev/vfio/vfio"]
    assert all(device.number == getattr(host.node(device.path), "number", None) for device in offer(host).devices)
    mixed = [device.path for device in offer(HOSTS["mixed.tar"]).devices]
    assert "/dev/accel/accel0" in mixed
    assert not [path for path in mixed if path.startswith("/dev/vfio")]


@pytest.mark.rows("H30", oracle="specification")
@pytest.mark.parametrize("name", HOSTS)
def test_h30_everything_that_is_offered_is_a_node_of_the_host(name: str) -> None:
    host = HOSTS[name]
    for device in offer(host).devices:
        node = host.node(device.path)
        assert node is not None
        assert (device.kind, device.number, device.uid, device.gid) == (node.kind, node.number, 0, 0)


def test_what_cannot_be_offered_is_told() -> None:
    assert offer(HOSTS["without-uvm.tar"]).left_out == (
        "/dev/nvidia-uvm: nvidia-uvm is not in /proc/devices, its module is not loaded",
    )
    assert offer(HOSTS["tpu-without-driver.tar"]).left_out[0].endswith("no driver is bound")
    assert offer(HOSTS["without-driver.tar"]).left_out == ('the GPUs of "all": the host has no NVIDIA driver',)
    assert offer(HOSTS["cpu-only.tar"]).left_out == ()


def test_an_id_that_names_nothing_is_refused_in_the_words_of_who_asked() -> None:
    with pytest.raises(InputError, match=r'^--gpus names "8" at position 2'):
        offer(HOSTS["host-8gpu.tar"], "0,8")
