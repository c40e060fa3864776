"""Real GPUs in a real root: what the driver says, and whether the nodes inside open."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import devproxy
from devproxy.host.facts import Host
from devproxy.process import find_program, run

pytestmark = pytest.mark.gpu

EXAMPLE = Path(__file__).parent.parent.parent / "example" / "bundle"


def test_the_probe_sees_what_nvidia_smi_sees(gpu_host: Host) -> None:
    smi = find_program("nvidia-smi")
    if smi is None:
        pytest.skip("nvidia-smi is not installed")
    lines = run([smi, "--query-gpu=index,uuid", "--format=csv,noheader"]).out.splitlines()
    theirs = [tuple(field.strip() for field in line.split(",")) for line in lines]
    assert gpu_host.nvidia is not None
    shown = {(str(gpu.rank), gpu.uuid) for gpu in gpu_host.nvidia.gpus}
    assert set(theirs) <= shown


@pytest.mark.parametrize("node", ["nvidiactl", "nvidia-uvm"])
def test_a_node_opens_inside(gpu_host: Host, node: str) -> None:
    """ENXIO would mean a number that no driver answers for, EPERM a device cgroup, EACCES a mode."""
    command = ["sh", "-c", f"exec 3<>/dev/{node} && echo open"]
    done = run([sys.executable, "-m", "devproxy", "run", str(EXAMPLE), "--", *command], check=False)
    assert (done.code, done.out, done.err) == (0, "open\n", "")


def test_a_root_with_every_gpu_is_what_was_planned(gpu_host: Host) -> None:
    spec = devproxy.load(EXAMPLE)
    assert spec.process is not None
    everything = spec._replace(process=spec.process._replace(env=("NVIDIA_VISIBLE_DEVICES=all",)))
    plan = devproxy.plan(everything, gpu_host)
    with devproxy.build(plan, "kernel") as root:
        assert devproxy.verify(plan, root).ok


def test_a_mig_device_is_the_same_by_uuid_and_by_index(deep_host: Host) -> None:
    """By the index that NVML gives it, which nvidia-smi -L shows."""
    assert deep_host.details is not None
    parts = [(f"{gpu.rank}:{part.rank}", part.uuid) for gpu in deep_host.details.nvml.gpus for part in gpu.mig]
    if not parts:
        pytest.skip("no GPU of this host is cut into MIG devices")
    for index, uuid in parts:
        by_index, by_uuid = (_nodes(name, deep_host) for name in (index, uuid))
        assert by_uuid == by_index, (index, uuid)


def _nodes(name: str, host: Host) -> list[str]:
    spec = devproxy.load(EXAMPLE)
    assert spec.process is not None
    asking = spec._replace(process=spec.process._replace(env=(f"NVIDIA_VISIBLE_DEVICES={name}",)))
    return [step.path for step in devproxy.plan(asking, host).steps if step.path.startswith("/dev/nvidia")]
