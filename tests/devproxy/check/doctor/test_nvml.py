"""Each code about NVML and GPUs' health: a machine where it fires, one beside it where it is silent, and what those about NVML tell."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import pytest

from devproxy.check.doctor.case import Case
from devproxy.check.doctor.examine import examine
from devproxy.check.doctor.nvml import lost_gpus
from devproxy.check.finding import Severity
from devproxy.host.system_facts import Library
from tests.devproxy.check.doctor.nvml_answers import (
    CHECKS,
    HERE,
    LOW,
    Document,
    asked,
    case,
    changed,
    failing,
    findings,
    healthy,
    host_of,
)
from tests.hosts.machine import Machine
from tests.hosts.make import before_550, cpu_only, hgx_h100, mixed, partitioned, without_driver, without_uvm

# code, document where it fires, subject, document where it is silent
ROWS: Final[list[tuple[str, Document, str, Document]]] = [
    ("nvml-error", failing("DRIVER_NOT_LOADED", 9), "NVML", healthy()),
    ("nvml-error", failing("UNKNOWN", 999, "nvmlDeviceGetSerial", 4), HERE, failing("GPU_IS_LOST", 15, "nvmlDeviceGetSerial", 4)),
    ("nvml-error", {"state": "failed", "why": "ended with signal SIGSEGV", "during": "nvmlDeviceGetUUID"}, "NVML", healthy()),
    ("nvml-timeout", healthy() | {"state": "timeout", "during": "nvmlShutdown", "why": "no answer in time"}, "NVML", healthy()),
    ("sources-disagree", changed(uuid="GPU-of-another"), HERE, changed(uuid=None)),
    ("sources-disagree", changed(minor=5), HERE, changed(minor=None)),
    ("sources-disagree", changed(numa_nodes=[0]), HERE, changed(numa_nodes=[0, 1])),
    ("sources-disagree", changed(numa_nodes=[0]), HERE, changed(memory_node=0)),
    ("sources-disagree", healthy() | {"driver": "560.35.03"}, "NVML", healthy() | {"driver": ""}),
    ("sources-disagree", healthy() | {"device_count": 7, "gpus": healthy()["gpus"][:7]}, "NVML", healthy()),
    ("sources-disagree", changed(address="00000000:9B:00.0"), "0000:9b:00.0", changed(address="")),
    ("sources-disagree", changed(mig_mode=True, mig=[{"rank": 0, "uuid": "MIG-1", "gpu_instance": 1, "compute_instance": 0}]),
     HERE, changed(mig_mode=None)),
    ("ecc-uncorrected", changed(ecc_uncorrected=3), HERE, changed(ecc_uncorrected=None)),
    ("row-remap-pending", changed(remap_pending=True), HERE, changed(remap_pending=None)),
    ("row-remap-failed", changed(remap_failed=True), HERE, changed(remap_failed=None)),
    ("pcie-width-degraded", changed(pcie_width=8), HERE, changed(pcie_width=8, pcie_width_most=8)),
    ("pcie-speed-degraded", changed(pcie_generation=3, load=90, throttle=4), HERE, changed(pcie_generation=1, load=0)),
    ("pcie-speed-degraded", changed(pcie_generation=3, load=90, throttle=0), HERE, changed(pcie_generation=3, load=90, throttle=1)),
    ("pcie-speed-degraded", changed(pcie_generation=3, load=90, throttle=0), HERE, changed(pcie_generation=3, load=None, throttle=0)),
    ("throttled", changed(throttle=0x40), HERE, changed(throttle=0x17)),
    ("throttled", changed(throttle=0x20), HERE, changed(throttle=0x100)),
    ("throttled", changed(throttle=0x8), HERE, changed(throttle=None)),
    ("nvlink-down", changed(nvlinks=LOW), HERE, changed(nvlinks=LOW, mig_mode=True)),
    ("nvlink-down", changed(nvlinks=[False] * 18), HERE, changed(nvlinks=[])),
    ("fabric-not-ready", changed(fabric=[2, ""]), HERE, changed(fabric=[0, ""])),
    ("fabric-not-ready", changed(fabric=[1, ""]), HERE, changed(fabric=None)),
    ("temperature-high", changed(temperature=89), HERE, changed(temperature=88)),
    ("temperature-high", changed(temperature=90, temperature_slowdown=None), HERE, changed(temperature=89, temperature_slowdown=None)),
    ("power-capped", changed(power_limit=500000), HERE, changed(power_limit_default=None)),
    ("memory-in-use-while-idle", changed(memory_used=9 << 30), HERE, changed(memory_used=9 << 30, pids=[17])),
    ("memory-in-use-while-idle", changed(memory_used=9 << 30), HERE, changed(memory_used=9 << 30, load=3)),
    ("memory-in-use-while-idle", changed(memory_used=9 << 30), HERE, changed(memory_used=1 << 30)),
    ("memory-in-use-while-idle", changed(memory_used=9 << 30), HERE, changed(memory_used=9 << 30, pids=None)),
    ("memory-in-use-while-idle", changed(memory_used=9 << 30), HERE, changed(memory_used=9 << 30, memory_node=2)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "fires", "subject", "silent"), ROWS, ids=[f"{row[0]}-{n}" for n, row in enumerate(ROWS)]
)
def test_fires_and_is_silent(code: str, fires: Document, subject: str, silent: Document) -> None:
    (finding,) = findings(code, fires)
    assert finding.path == subject
    assert finding.evidence
    assert finding.hint
    assert finding.reference == CHECKS[code].reference or code in ("nvml-error", "sources-disagree", "throttled")
    assert findings(code, silent) == []


def test_every_code_has_a_row() -> None:
    assert {row[0] for row in ROWS} | {"minor-differs-from-index"} == set(CHECKS)


def test_a_healthy_machine_has_two_things_worth_knowing() -> None:
    """Its third and fourth GPU are /dev/nvidia3 and 2."""
    found = [finding for check in CHECKS.values() for finding in check.run(case(healthy()))]
    assert [(finding.code, finding.severity, finding.path) for finding in found] == [
        ("minor-differs-from-index", Severity.INFO, "0000:3a:00.0"),
        ("minor-differs-from-index", Severity.INFO, "0000:5d:00.0"),
    ]


@pytest.mark.parametrize("make", [hgx_h100, partitioned, before_550, without_uvm, mixed])
def test_the_machines_of_the_recordings_are_well(make: Callable[[], Machine]) -> None:
    """Their sources agree; whose GPUs were found in another order have that to tell."""
    host = host_of(make)
    assert host.details is not None
    assert host.details.nvml.gpus
    found = [finding for check in CHECKS.values() for finding in check.run(Case(host))]
    assert {finding.code for finding in found} <= {"minor-differs-from-index"}


@pytest.mark.parametrize("machine", [cpu_only, without_driver])
@pytest.mark.parametrize("state", [{}, {"state": "no library"}])
def test_a_machine_without_a_driver_is_silent(machine: Any, state: Document) -> None:
    assert [finding for check in CHECKS.values() for finding in check.run(case(state, machine()))] == []


# NVML itself


@pytest.mark.parametrize("document", [{}, {"state": "no library", "why": "libnvidia-ml.so.1: no such file"}])
def test_a_driver_whose_library_was_not_asked_is_inconclusive(document: Document) -> None:
    (finding,) = findings("nvml-error", document)
    assert (finding.severity, finding.path) == (Severity.INCONCLUSIVE, "NVML")
    assert finding.why


def test_a_library_where_no_loader_looks_is_pointed_at() -> None:
    """As on Google's Container-Optimized OS."""
    host = asked(host_of(hgx_h100), {"state": "no library", "why": "cannot open"})
    assert host.details is not None
    library = Library("libnvidia-ml", "550.163.01", "/home/kubernetes/bin/nvidia/lib64/libnvidia-ml.so.550.163.01")
    bare, found = (
        host.details._replace(system=host.details.system._replace(libraries=libraries))
        for libraries in ((), (library,))
    )
    (finding,) = CHECKS["nvml-error"].run(Case(host._replace(details=bare)))
    assert finding.hint.startswith("install")
    (finding,) = CHECKS["nvml-error"].run(Case(host._replace(details=found)))
    assert finding.hint == "LD_LIBRARY_PATH=/home/kubernetes/bin/nvidia/lib64 devproxy doctor"
    assert finding.evidence[0].source == library.path


def test_versions_of_module_and_library_are_told() -> None:
    host = asked(host_of(hgx_h100), failing("LIB_RM_VERSION_MISMATCH", 18))
    assert host.details is not None
    library = Library("libnvidia-ml", "560.35.03", "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.560.35.03")
    details = host.details._replace(system=host.details.system._replace(libraries=(library,)))
    (finding,) = CHECKS["nvml-error"].run(Case(host._replace(details=details)))
    assert finding.why.endswith("the module is 550.163.01, the library 560.35.03")


@pytest.mark.parametrize(
    ("name", "machine", "cause", "hint"),
    [
        ("DRIVER_NOT_LOADED", cpu_only, "module is not loaded", "modprobe nvidia"),
        ("DRIVER_NOT_LOADED", hgx_h100, "", "journalctl"),
        ("NO_PERMISSION", lambda: hgx_h100().node("/dev/nvidiactl", (195, 255), 0o660, 44), "node-mode-restrictive", "usermod -aG 44"),
        ("NO_PERMISSION", hgx_h100, "may not ask", "sudo devproxy doctor"),
        ("LIB_RM_VERSION_MISMATCH", hgx_h100, "driver-library-mismatch", "reboot"),
        ("LIBRARY_NOT_FOUND", hgx_h100, "told by pynvml", "ldconfig -p"),
        ("OPERATING_SYSTEM", lambda: hgx_h100().fact("opens", {"opens": [{"path": "/dev/nvidiactl", "errno": "EPERM", "number": ""}]}),
         "open-denied-by-cgroup", "finding"),
        ("IN_USE", hgx_h100, "told by pynvml", "nvidia-smi -q"),
    ],
)  # fmt: skip
def test_the_likely_cause_is_told(name: str, machine: Any, cause: str, hint: str) -> None:
    (finding,) = findings("nvml-error", failing(name, 1), machine())
    assert cause in finding.why
    assert hint in finding.hint
    assert name in finding.found


def test_a_driver_without_its_control_node_is_said_to_be_that() -> None:
    machine = hgx_h100()
    del machine._entries["/dev/nvidiactl"]
    (finding,) = findings("nvml-error", failing("DRIVER_NOT_LOADED", 9), machine)
    assert "node-missing" in finding.why
    assert finding.hint == "nvidia-modprobe -u -c 0"


def test_errors_of_one_code_about_one_gpu_are_one_finding() -> None:
    document = healthy()
    document["errors"] = [
        {
            "call": f"nvmlDeviceGet{what}",
            "code": code,
            "name": "UNKNOWN" if code == 999 else "RESET_REQUIRED",
            "gpu": gpu,
        }
        for what in ("UUID", "Name", "Serial", "PowerUsage", "Temperature")
        for code, gpu in ((999, 0), (999, 1), (16, 1))
    ]
    found = findings("nvml-error", document)
    assert [finding.path for finding in found] == ["0000:18:00.0", "0000:2a:00.0", "0000:2a:00.0"]
    assert "and 2 more" in found[0].found
    assert found[2].hint.endswith("nvidia-smi --gpu-reset -i 0000:2a:00.0")


def test_what_may_not_be_asked_was_not_seen() -> None:
    (finding,) = findings("nvml-error", failing("NO_PERMISSION", 4, "nvmlDeviceGetComputeRunningProcesses", 0))
    assert finding.severity is Severity.INCONCLUSIVE


def test_a_crash_names_the_call_and_the_gpu() -> None:
    document = {"state": "failed", "why": "ended with signal SIGSEGV", "during": "nvmlDeviceGetUUID", "during_gpu": 2}
    (finding,) = findings("nvml-error", document)
    assert finding.found == "ended with signal SIGSEGV in nvmlDeviceGetUUID about GPU 2"


def test_a_hang_names_the_call_and_tells_of_persistence_mode() -> None:
    document = {"state": "timeout", "why": "no answer in time", "during": "nvmlInitWithFlags", "seconds": 2.04}
    (finding,) = findings("nvml-timeout", document)
    assert finding.found == "none from nvmlInitWithFlags"
    assert "persistence mode" in finding.why
    assert "2.0 s" in finding.evidence[0].value


def test_a_hang_in_the_kernel_is_said_to_be_that() -> None:
    document = {"state": "timeout", "why": "no answer in time, and cannot be killed", "during": "nvmlDeviceGetUUID"}
    assert "cannot be killed" in findings("nvml-timeout", document)[0].why


def test_a_lost_gpu_is_lost_and_no_other_error() -> None:
    document = healthy()
    document["gpus"].pop(4)
    document["errors"] = [{"call": "nvmlDeviceGetHandleByIndex", "code": 15, "name": "GPU_IS_LOST", "gpu": 4}]
    (finding,) = lost_gpus(case(document))
    assert (finding.code, finding.path, finding.reference) == ("device-lost", HERE, "Xid 79")
    assert findings("nvml-error", document) == []
    assert findings("sources-disagree", document) == []
    assert "device-lost" in {found.code for found in examine(case(document)).findings}


def test_a_lost_gpu_that_the_driver_has_let_go_is_not_the_next_one() -> None:
    """The driver counts seven then, and NVML eight: its index 4 is the rank of a GPU that is well."""
    host = host_of(hgx_h100)
    assert host.nvidia is not None
    left = [gpu for gpu in host.nvidia.gpus if gpu.rank != 4]
    seven = tuple(gpu._replace(rank=rank) for rank, gpu in enumerate(left))
    document = healthy()
    document["gpus"].pop(4)
    document["errors"] = [{"call": "nvmlDeviceGetHandleByIndex", "code": 15, "name": "GPU_IS_LOST", "gpu": 4}]
    looked = case(document)
    looked = Case(looked.host._replace(nvidia=host.nvidia._replace(gpus=seven)))
    assert [finding.path for finding in lost_gpus(looked)] == ["GPU 4"]


def test_what_was_told_before_a_hang_is_judged() -> None:
    document = changed(ecc_uncorrected=1) | {"state": "timeout", "during": "nvmlShutdown", "why": "no answer in time"}
    codes = [finding.code for finding in examine(case(document)).errors]
    assert {"nvml-timeout", "ecc-uncorrected"} <= {*codes}


def test_mig_devices_that_agree_are_silent_and_others_are_told() -> None:
    instances = [
        {"rank": rank, "gpu_instance": rank + 1, "compute_instance": 0, "uuid": f"MIG-{rank}"} for rank in (0, 1)
    ]
    assert findings("sources-disagree", changed(rank=3, mig_mode=True, mig=instances), partitioned()) == []
    (finding,) = findings("sources-disagree", changed(rank=3, mig_mode=True, mig=instances[:1]), partitioned())
    assert (finding.path, finding.evidence[0].value) == ("0000:5d:00.0", "gi1/ci0, gi2/ci0")
    assert finding.evidence[1].value == "gi1/ci0"


def test_an_excluded_gpu_is_no_missing_one() -> None:
    path = "/proc/driver/nvidia/gpus/0000:db:00.0/information"
    machine = hgx_h100()
    document = healthy() | {"device_count": 7, "gpus": healthy()["gpus"][:7]}
    excluded = re.sub(rb"(GPU Excluded:\s*)No", rb"\1Yes", machine._contents[path])
    assert excluded != machine._contents[path]
    assert findings("sources-disagree", document, machine.file(path, excluded)) == []
