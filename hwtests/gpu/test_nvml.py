"""NVML on real hardware: that the fake is like it, that it agrees with the other sources, that it says the same twice."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from devproxy.host.facts import Host
from devproxy.host.live.nvml import ask
from devproxy.host.nvml_facts import NvmlState
from devproxy.host.probe import probe
from devproxy.process import run
from hwtests.conftest import Tell
from hwtests.gpu.calls import CALLS, Answer, differences
from tests.nvml.fake import FakeNvml, build, world_of

pytestmark = pytest.mark.gpu

ROOT = Path(__file__).parent.parent.parent
# Without persistence mode a driver may need seconds for each GPU.
PATIENCE = 60.0
# What changes from one moment to the next.
FLEETING = ("seconds", "temperature", "power", "clock_sm", "throttle", "memory_used", "load", "pcie_generation")


def calls(directory: str = "") -> dict[str, Answer]:
    """The dump of a library: of the one in `directory`, or of the machine's own."""
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"} | ({"LD_LIBRARY_PATH": directory} if directory else {})
    found: dict[str, Answer] = json.loads(run([sys.executable, "-m", "hwtests.gpu.calls"], cwd=str(ROOT), env=env).out)
    return found


def test_the_fake_has_the_shape_of_the_real_library(tmp_path: Path, tell: Tell) -> None:
    real = calls()
    assert real["init"]["code"] == 0
    build(tmp_path)
    fake = FakeNvml(tmp_path, None)
    fake.world(world_of(ask(PATIENCE)))
    tell("calls", real)
    assert differences(real, calls(str(tmp_path))) == []
    assert any(real[call.name]["code"] == 0 for call in CALLS)


def test_a_fake_that_is_told_the_answer_gives_it(tmp_path: Path, tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ask(PATIENCE)
    tell("document", real)
    build(tmp_path)
    fake = FakeNvml(tmp_path, None)
    fake.world(world_of(real))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    assert fake.document() | {"seconds": 0} == real | {"seconds": 0}


def test_nvml_answers_without_an_error(deep_host: Host, tell: Tell) -> None:
    assert deep_host.details is not None
    nvml = deep_host.details.nvml
    tell("seconds", nvml.seconds)
    assert (nvml.state, nvml.errors) == (NvmlState.ANSWERED, ())
    assert nvml.device_count == len(nvml.gpus)


def test_nvml_proc_sysfs_and_dev_agree_for_each_gpu(deep_host: Host, tell: Tell) -> None:
    assert deep_host.details is not None
    assert deep_host.nvidia is not None
    proc = {gpu.address: gpu for gpu in deep_host.nvidia.gpus}
    sysfs = {function.address: function for function in deep_host.pci}
    major = deep_host.major_of("nvidia")
    assert deep_host.details.nvml.driver == deep_host.nvidia.version
    for gpu in deep_host.details.nvml.gpus:
        node = deep_host.node(f"/dev/nvidia{gpu.minor}")
        tell(f"GPU {gpu.rank}", {"nvml": gpu._asdict(), "proc": proc.get(gpu.address), "node": node})
        assert (proc[gpu.address].uuid, proc[gpu.address].minor) == (gpu.uuid, gpu.minor)
        assert (sysfs[gpu.address].vendor, sysfs[gpu.address].driver) == (0x10DE, "nvidia")
        assert node is not None
        assert (node.number.major, node.number.minor) == (major, gpu.minor)
        if gpu.numa_node is not None and sysfs[gpu.address].numa_node >= 0:
            assert sysfs[gpu.address].numa_node == gpu.numa_node
    uvm = deep_host.node("/dev/nvidia-uvm")
    if uvm is not None:
        assert uvm.number.major == deep_host.major_of("nvidia-uvm")


def test_probing_twice_says_the_same(deep_host: Host, tell: Tell) -> None:
    """But for what changes by itself. The cold probe is the one of the session."""
    again = probe(deep=True)
    assert deep_host.details is not None
    assert again.details is not None
    tell("seconds", [deep_host.details.nvml.seconds, again.details.nvml.seconds])
    assert again._replace(details=None) == deep_host._replace(details=None)
    first, second = ask(PATIENCE), ask(PATIENCE)
    assert lasting(first) == lasting(second)


def lasting(document: object) -> object:
    if isinstance(document, dict):
        return {key: lasting(value) for key, value in document.items() if key not in FLEETING}
    return [lasting(value) for value in document] if isinstance(document, list) else document
