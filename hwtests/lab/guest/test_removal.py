"""A GPU that is taken off the bus while a container holds it, and a TPU; both come back with a rescan."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import devproxy
from devproxy.check.doctor.case import Case
from devproxy.check.doctor.examine import examine
from hwtests.lab.guest.conftest import GPUS, NVIDIA, TPU, Cli, ask, bundle
from hwtests.lab.guest.drivers import removed, until

LOST = GPUS[2]
CHIP = "0001:00:06.0"


@contextmanager
def container(made: str, node: str) -> Iterator[None]:
    """A container whose process holds a node."""
    command = [sys.executable, "-m", "devproxy", "run", made, "--", "ask", "-w", node]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline().startswith(f"{node} {NVIDIA}")
        yield
        child.stdin.close()
        assert child.wait(timeout=60) == 0


def test_a_gpu_is_lost_while_it_is_held(tmp_path: Path) -> None:
    with container(bundle(tmp_path, "NVIDIA_VISIBLE_DEVICES=2"), "/dev/nvidia2"), removed(LOST):
        host = devproxy.probe()
        assert host.nvidia is not None
        assert [gpu.address for gpu in host.nvidia.gpus] == list(GPUS[:2])
        assert LOST not in {device.address for device in host.pci}
        # Nobody removes what nvidia-modprobe made: the node stays, and says no.
        assert host.node("/dev/nvidia2") is not None
        assert ask("/dev/nvidia2", "/dev/nvidia1") == {
            "/dev/nvidia2": "open: No such device",
            "/dev/nvidia1": f"{NVIDIA} 1",
        }
        found = {(each.code, each.path) for each in examine(Case(devproxy.probe(deep=True, opens=True))).findings}
        assert ("device-lost", "/dev/nvidia2") in found
        assert not [path for code, path in found if code == "device-lost" and path != "/dev/nvidia2"]
    assert ask("/dev/nvidia2") == {"/dev/nvidia2": f"{NVIDIA} 2"}
    assert devproxy.probe().node("/dev/nvidia2") is not None


def test_a_plan_for_a_lost_gpu_is_refused(tmp_path: Path, cli: Cli) -> None:
    made = bundle(tmp_path, "NVIDIA_VISIBLE_DEVICES=2")
    cli("plan", made)
    with removed(LOST):
        done = cli("plan", made, code=2)
        assert "NVIDIA_VISIBLE_DEVICES" in done.err
    cli("plan", made)


def test_a_chip_takes_its_node_along() -> None:
    with removed(CHIP):
        assert [chip.address for chip in devproxy.probe().tpus if chip.generation == "v4"] == ["0001:00:05.0"]
        assert not os.path.exists("/dev/accel1")
    until("/dev/accel1")
    assert ask("/dev/accel1") == {"/dev/accel1": f"{TPU} 1"}
