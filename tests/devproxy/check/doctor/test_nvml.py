"""Each code about NVML and GPUs' health: a machine where it fires, one beside it where it is silent, and what it tells."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.check.doctor.case import Case
from devproxy.check.doctor.examine import examine
from devproxy.check.doctor.health import HEALTH_CHECKS
from devproxy.check.doctor.nvml import NVML_CHECKS, lost_gpus
from devproxy.check.finding import Finding, Severity
from devproxy.host.facts import Host
from devproxy.host.probe import probe_reader
from devproxy.host.system_facts import Library
from tests.hosts.machine import Machine
from tests.hosts.make import before_550, cpu_only, hgx_h100, mixed, partitioned, without_driver, without_uvm
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


# Reports, which say a part


def test_a_report_without_proc_has_nothing_to_disagree_with() -> None:
    """Nor to tell whose index is which: what is not in it is unknown, not absent."""
    host = asked(host_of(without_driver), healthy())._replace(coverage=("/dev/*",))
    found = [finding.code for check in CHECKS.values() for finding in check.run(Case(host))]
    assert found == []


def test_an_index_by_some_of_the_gpus_is_none() -> None:
    host = asked(host_of(hgx_h100), healthy())
    assert len(list(CHECKS["minor-differs-from-index"].run(Case(host)))) == 2
    partly = host._replace(coverage=("/proc/driver/nvidia/gpus/*/information",))
    assert list(CHECKS["minor-differs-from-index"].run(Case(partly))) == []


@pytest.mark.parametrize("call", ["nvmlInit_v2", "nvmlInitWithFlags"])
def test_a_program_that_could_not_start_nvml_is_one_finding(call: str) -> None:
    document = {
        "state": "failed",
        "errors": [{"call": call, "code": 18, "name": "LIB_RM_VERSION_MISMATCH", "gpu": None}],
    }
    (finding,) = findings("nvml-error", document)
    assert finding.found == f"{call} says LIB_RM_VERSION_MISMATCH (18)"
    assert "driver-library-mismatch" in finding.why


def test_a_program_that_lost_a_gpu_is_no_other_error() -> None:
    error = {"call": "nvmlDeviceGetHandleByIndex_v2", "code": 15, "name": "GPU_IS_LOST", "gpu": None}
    document = {"state": "failed", "errors": [error]}
    assert findings("nvml-error", document) == []
    assert [finding.path for finding in lost_gpus(case(document))] == ["NVML"]


def test_a_report_that_does_not_tell_of_the_module_claims_nothing() -> None:
    host = asked(host_of(cpu_only), failing("DRIVER_NOT_LOADED", 9))._replace(coverage=("/dev/*",))
    (finding,) = CHECKS["nvml-error"].run(Case(host))
    assert "may not be loaded" in finding.why
    assert {evidence.source for evidence in finding.evidence} == {"facts/nvml.json"}


# Health


def test_severities_follow_what_it_means() -> None:
    def severity(code: str, document: Document, machine: Machine | None = None) -> Severity:
        return findings(code, document, machine)[0].severity

    assert severity("temperature-high", changed(temperature=92)) is Severity.ERROR
    assert severity("temperature-high", changed(temperature=91)) is Severity.WARNING
    assert severity("power-capped", changed(power_limit=500000, throttle=4)) is Severity.WARNING
    assert severity("power-capped", changed(power_limit=500000)) is Severity.INFO
    assert severity("nvlink-down", changed(nvlinks=LOW)) is Severity.ERROR
    assert severity("nvlink-down", changed(nvlinks=LOW), unswitched()) is Severity.WARNING
    pending = case(changed(remap_pending=True), before_job=True)
    assert next(iter(CHECKS["row-remap-pending"].run(pending))).severity is Severity.ERROR


def test_links_that_lead_nowhere_on_any_gpu_are_silent() -> None:
    assert findings("nvlink-down", every(nvlinks=LOW), unswitched()) == []
    assert findings("nvlink-down", every(nvlinks=[False] * 18), unswitched()) == []
    assert len(findings("nvlink-down", every(nvlinks=[False] * 18))) == 8


def test_memory_that_a_holder_has_is_not_nobodys() -> None:
    holder = {"name": "python3", "paths": ["/dev/nvidia4"], "pid": 4242, "started": 5, "uid": 1000}
    holders = {"complete": True, "holders": [holder], "unread": 0, "why": ""}
    document = changed(memory_used=9 << 30)
    assert findings("memory-in-use-while-idle", document, hgx_h100().fact("holders", holders)) == []


def test_reasons_to_slow_down_are_told_by_name() -> None:
    (finding,) = findings("throttled", changed(throttle=0x85))
    assert (finding.found, finding.reference) == ("power-brake", "DCGM_FR_CLOCK_THROTTLE_POWER")
    (finding,) = findings("throttled", changed(throttle=0xC8))
    assert (finding.found, finding.reference) == (
        "hw-slowdown, hw-thermal, power-brake",
        "DCGM_FR_CLOCK_THROTTLE_THERMAL",
    )


values = (
    st.none()
    | st.booleans()
    | st.integers(-2, 300)
    | st.just(1 << 40)
    | st.text(max_size=4)
    | st.lists(st.booleans(), max_size=3)
)


@pytest.mark.property
@given(
    st.sampled_from((hgx_h100, partitioned, cpu_only, without_driver)),
    st.sampled_from(("answered", "failed", "timeout", "no library")),
    st.lists(st.dictionaries(st.sampled_from(sorted(healthy()["gpus"][0])), values), max_size=8),
    st.lists(st.fixed_dictionaries({"call": st.sampled_from(("nvmlInitWithFlags", "nvmlDeviceGetUUID")), "code": values, "gpu": values})),
)  # fmt: skip
def test_any_answer_is_judged(make: Any, state: str, gpus: list[Document], errors: list[Document]) -> None:
    document = healthy() | {"state": state, "errors": errors}
    document["gpus"] = [gpu | change for gpu, change in zip(document["gpus"], gpus, strict=False)]
    for check in CHECKS.values():
        for finding in check.run(Case(asked(host_of(make), document))):
            assert finding.code == check.code
            assert finding.path
            assert finding.severity is Severity.INCONCLUSIVE or (finding.found and finding.expected)
