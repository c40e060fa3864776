"""What fails without a node: in a mount namespace whose /dev has some of the driver's nodes and no others.

The file system there is read-only, so that nvidia-modprobe cannot make what is missing.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from typing import Any, Final

import pytest

from devproxy.host.facts import Host
from devproxy.process import run
from hwtests.conftest import Tell

pytestmark = pytest.mark.gpu

PLAIN: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")
# Ask NVML for its GPUs, and CUDA whether it starts, past every binding.
PROGRAM: Final = """
import ctypes, json
told = {}
nvml = ctypes.CDLL("libnvidia-ml.so.1")
told["nvml"] = nvml.nvmlInitWithFlags(0)
if not told["nvml"]:
    number, device, minor = ctypes.c_uint(), ctypes.c_void_p(), ctypes.c_uint()
    nvml.nvmlDeviceGetCount_v2(ctypes.byref(number))
    told["minors"] = []
    for rank in range(number.value):
        if not nvml.nvmlDeviceGetHandleByIndex_v2(rank, ctypes.byref(device)):
            if not nvml.nvmlDeviceGetMinorNumber(device, ctypes.byref(minor)):
                told["minors"].append(minor.value)
try:
    told["cuda"] = ctypes.CDLL("libcuda.so.1").cuInit(0)
except OSError:
    told["cuda"] = None
print(json.dumps(told))
"""


def asked_with(nodes: Sequence[str], program: str = PROGRAM) -> Any:
    """What the program says where /dev has these nodes alone."""
    script = ["set -e", "mount -t tmpfs -o mode=755 tmpfs /run", "mkdir /run/dev"]
    for node in (*PLAIN, *nodes):
        place = shlex.quote(f"/run{node}")
        script += [f"mkdir -p $(dirname {place})", f": > {place}", f"mount --bind {shlex.quote(node)} {place}"]
    script += ["mount -o remount,ro /run", "mount --rbind /run/dev /dev"]
    script.append(f"exec {shlex.quote(sys.executable)} -I -c {shlex.quote(program)}")
    done = run(["unshare", "-m", "--propagation", "private", "sh", "-c", "\n".join(script)], timeout=120)
    return json.loads(done.out)


@pytest.fixture
def nodes(gpu_host: Host) -> list[str]:
    """The nodes of the driver."""
    return [node.path for node in gpu_host.nodes if node.path.startswith("/dev/nvidia")]


def test_with_every_node_everything_starts(nodes: list[str], gpu_host: Host, tell: Tell) -> None:
    told = asked_with(nodes)
    tell("all", told)
    assert gpu_host.nvidia is not None
    assert told["nvml"] == 0
    assert sorted(told["minors"]) == sorted(gpu.minor for gpu in gpu_host.nvidia.gpus if gpu.minor is not None)
    assert told["cuda"] in (0, None)


def test_without_the_control_node_nothing_starts(nodes: list[str], tell: Tell) -> None:
    told = asked_with([node for node in nodes if node != "/dev/nvidiactl"])
    tell("without nvidiactl", told)
    assert told["nvml"] in (9, 999), "DRIVER_NOT_LOADED, or UNKNOWN"
    assert told["cuda"] != 0


def test_without_uvm_cuda_alone_does_not_start(nodes: list[str], tell: Tell) -> None:
    if "/dev/nvidia-uvm" not in nodes:
        pytest.fail("this host has no /dev/nvidia-uvm: run nvidia-modprobe -u -c 0 first")
    told = asked_with([node for node in nodes if "uvm" not in node])
    tell("without uvm", told)
    assert told["nvml"] == 0
    assert told["cuda"] != 0


def test_without_its_node_a_gpu_is_not_there(nodes: list[str], gpu_host: Host, tell: Tell) -> None:
    assert gpu_host.nvidia is not None
    for gpu in gpu_host.nvidia.gpus:
        told = asked_with([node for node in nodes if node != f"/dev/nvidia{gpu.minor}"])
        tell(f"without nvidia{gpu.minor}", told)
        assert gpu.minor not in told.get("minors", [])


def test_without_capabilities_mig_devices_are_not_usable(nodes: list[str], gpu_host: Host, tell: Tell) -> None:
    assert gpu_host.nvidia is not None
    if not gpu_host.nvidia.mig:
        pytest.skip("MIG is off, and is not for a test to turn on")
    told = asked_with([node for node in nodes if "caps" not in node])
    tell("without capabilities", told)
    assert told["cuda"] != 0
