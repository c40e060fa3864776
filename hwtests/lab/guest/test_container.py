"""Roots on the kernel, and processes in them that speak to the drivers through the nodes that devproxy made there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devproxy.host.facts import Host
from devproxy.process import run
from hwtests.lab.guest.conftest import CAPS, LAB, NVIDIA, TPU, UVM, VFIO, Cli, answers, bundle, inside, majors

ABSENT = "open: No such file or directory"


def test_the_gpus_that_the_environment_names_answer(tmp_path: Path, cli: Cli) -> None:
    made = bundle(tmp_path, "NVIDIA_VISIBLE_DEVICES=0,2")
    nodes = ["nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "accel0"]
    assert inside(cli, made, *(f"/dev/{node}" for node in nodes), bad=2) == {
        "/dev/nvidia0": f"{NVIDIA} 0",
        "/dev/nvidia1": ABSENT,
        "/dev/nvidia2": f"{NVIDIA} 2",
        "/dev/nvidiactl": f"{NVIDIA} 255",
        "/dev/nvidia-uvm": f"{UVM} 0",
        "/dev/nvidia-uvm-tools": f"{UVM} 1",
        "/dev/accel0": ABSENT,
    }
    cli("verify", made)


def test_a_slice_answers_through_its_capabilities(tmp_path: Path, cli: Cli, host: Host) -> None:
    assert host.nvidia is not None
    minors = [
        capability.minor
        for name in host.nvidia.mig[1].capabilities
        if (capability := host.nvidia.capability(name)) is not None
    ]
    nodes = [f"/dev/nvidia-caps/nvidia-cap{minor}" for minor in minors]
    assert len(nodes) == 2
    made = bundle(tmp_path, "NVIDIA_VISIBLE_DEVICES=1:1")
    expected = {node: f"{CAPS} {minor}" for node, minor in zip(nodes, minors, strict=True)}
    assert inside(cli, made, "/dev/nvidia1", *nodes) == {"/dev/nvidia1": f"{NVIDIA} 1", **expected}


@pytest.mark.parametrize(("paths", "driver"), [("/dev/accel0,/dev/accel1", TPU), ("/dev/vfio/0,/dev/vfio/1", VFIO)])
def test_the_tpus_that_the_environment_names_answer(paths: str, driver: str, tmp_path: Path, cli: Cli) -> None:
    nodes = paths.split(",")
    made = bundle(tmp_path, f"TPU_VISIBLE_DEVICE_PATHS={paths}")
    assert inside(cli, made, *nodes) == {node: f"{driver} {node[-1]}" for node in nodes}
    cli("verify", made)


def test_a_spec_of_this_host_lists_what_answers(tmp_path: Path, cli: Cli) -> None:
    """`devproxy spec`, an image, `plan`, `run`, `verify`: the bundle's way from nothing to an answer."""
    directory = tmp_path / "new"
    cli("spec", str(directory))
    config = json.loads((directory / "config.json").read_text())
    listed = [device["path"] for device in config["linux"]["devices"]]
    assert {"/dev/nvidia0", "/dev/nvidia2", "/dev/nvidia-uvm", "/dev/accel1", "/dev/vfio/0"} <= set(listed)
    config["process"]["terminal"] = False
    (directory / "config.json").write_text(json.dumps(config))
    image = bundle(tmp_path)
    (directory / "rootfs").rmdir()
    (Path(image) / "rootfs").rename(directory / "rootfs")
    steps = cli("plan", str(directory), "--text").out
    assert all(path in steps for path in listed)
    openable = [path for path in listed if "vfio/vfio" not in path]
    said = inside(cli, str(directory), *openable)
    assert set(said) == set(openable)
    assert not [answer for answer in said.values() if "open" in answer]
    cli("verify", str(directory))


def test_a_stale_spec_gets_todays_numbers(tmp_path: Path, cli: Cli) -> None:
    """Majors of another boot; those of nvidia-uvm and nvidia-caps are dynamic, an accel's is told by the host's node."""
    numbers = {
        "/dev/nvidia0": (195, 0), "/dev/nvidiactl": (195, 255), "/dev/nvidia-uvm": (510, 0),
        "/dev/nvidia-caps/nvidia-cap1": (239, 1), "/dev/accel1": (121, 1), "/dev/vfio/1": (511, 0),
    }  # fmt: skip
    assert 510 not in majors().values()
    devices = [{"path": path, "type": "c", "major": major, "minor": minor} for path, (major, minor) in numbers.items()]
    made = bundle(tmp_path, devices=devices)
    assert inside(cli, made, *numbers) == {
        "/dev/nvidia0": f"{NVIDIA} 0",
        "/dev/nvidiactl": f"{NVIDIA} 255",
        "/dev/nvidia-uvm": f"{UVM} 0",
        "/dev/nvidia-caps/nvidia-cap1": f"{CAPS} 1",
        "/dev/accel1": f"{TPU} 1",
        "/dev/vfio/1": f"{VFIO} 1",
    }
    cli("verify", made)
    assert f"major {majors()['nvidia-uvm']} here, the spec said 510" in cli("run", made, "-v", "--", "true").err


def test_the_same_image_without_accelerators_has_none(tmp_path: Path, cli: Cli) -> None:
    said = inside(cli, bundle(tmp_path), "/dev/nvidia0", "/dev/nvidia-uvm", "/dev/accel0", bad=3)
    assert set(said.values()) == {ABSENT}


def test_the_mode_of_a_node_keeps_a_user_out(tmp_path: Path) -> None:
    """The lab's own check that an answer needs the right to open: mig/config is root's."""
    command = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", str(LAB / "ask")]
    done = run([*command, "/dev/nvidia-caps/nvidia-cap1", "/dev/nvidia-caps/nvidia-cap2"], check=False)
    said = answers(done.out)
    assert said == {
        "/dev/nvidia-caps/nvidia-cap1": "open: Permission denied",
        "/dev/nvidia-caps/nvidia-cap2": f"{CAPS} 2",
    }
