"""What NVML says of the machine of a recording, as its fake says it: the truth, and with one thing wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from devproxy.check.doctor.case import Case
from devproxy.check.doctor.health import HEALTH_CHECKS
from devproxy.check.doctor.nvml import NVML_CHECKS
from devproxy.check.finding import Finding
from devproxy.host.facts import Host
from devproxy.host.probe import probe_reader
from tests.hosts.machine import Machine
from tests.hosts.make import hgx_h100
from tests.nvml.fake import nvml_of

CHECKS: Final = {check.code: check for check in (*NVML_CHECKS, *HEALTH_CHECKS)}
BUSES: Final = ("18", "2a", "3a", "5d", "9a", "ab", "ba", "db")
Document = dict[str, Any]


@cache
def host_of(make: Callable[[], Machine]) -> Host:
    """A machine, probed once."""
    return probe_reader(make(), name="machine", simulated=True, deep=True)


def healthy() -> Document:
    """What NVML says of the machine of `hgx_h100`: the truth, and nothing to complain of."""
    host = host_of(hgx_h100)
    assert host.nvidia is not None
    gpus = [
        {
            "rank": gpu.rank, "address": f"00000000:{BUSES[gpu.rank].upper()}:00.0", "uuid": gpu.uuid, "minor": gpu.minor,
            "name": gpu.model, "mig_mode": False, "mig": [], "numa_nodes": [gpu.rank // 4], "pids": [], "load": 0,
            "persistence": 1, "fabric": [3, ""], "nvlinks": [True] * 18, "temperature": 35, "temperature_slowdown": 89,
            "temperature_shutdown": 92, "power": 71000, "power_limit": 700000, "power_limit_default": 700000,
            "ecc_uncorrected": 0, "ecc_uncorrected_ever": 2, "remap_pending": False, "remap_failed": False,
            "pcie_generation": 5, "pcie_generation_most": 5, "pcie_width": 16, "pcie_width_most": 16, "throttle": 1,
            "memory_total": 80 << 30, "memory_used": 4 << 20,
        }
        for gpu in host.nvidia.gpus
    ]  # fmt: skip
    return {
        "state": "answered", "driver": "550.163.01", "device_count": 8, "gpus": gpus, "errors": [], "seconds": 0.3,
    }  # fmt: skip


def changed(*, rank: int = 4, **facts: object) -> Document:
    """One GPU otherwise."""
    document = copy.deepcopy(healthy())
    document["gpus"][rank] |= facts
    return document


def every(**facts: object) -> Document:
    document = copy.deepcopy(healthy())
    for gpu in document["gpus"]:
        gpu.update(facts)
    return document


def failing(name: str, code: int, call: str = "nvmlInitWithFlags", gpu: int | None = None) -> Document:
    error = {"call": call, "code": code, "name": name, "gpu": gpu}
    if call == "nvmlInitWithFlags":
        return {"state": "failed", "why": "told by pynvml", "errors": [error], "gpus": []}
    return healthy() | {"errors": [error]}


def case(document: Document, machine: Machine | None = None, *, before_job: bool = False) -> Case:
    """The machine of `hgx_h100`, or another, with that answer of NVML."""
    if machine is not None:
        host = probe_reader(machine.fact("nvml", document), name="machine", simulated=True, deep=True)
        return Case(host, before_job=before_job)
    return Case(asked(host_of(hgx_h100), document), before_job=before_job)


def asked(host: Host, document: Document) -> Host:
    assert host.details is not None
    return host._replace(details=host.details._replace(nvml=nvml_of(document)))


def findings(code: str, document: Document, machine: Machine | None = None) -> list[Finding]:
    found = list(CHECKS[code].run(case(document, machine)))
    assert all(finding.code == code for finding in found)
    return found


def unswitched() -> Machine:
    """The same without NVSwitches."""
    machine = hgx_h100()
    for path in list(machine._entries):
        if path.startswith("/proc/driver/nvidia-nvswitch"):
            del machine._entries[path]
    return machine


HERE: Final = "0000:9a:00.0"  # rank 4
LOW: Final = [True] * 9 + [False] * 9
