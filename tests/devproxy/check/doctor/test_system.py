"""Each code about the system around devices: a machine where it fires, one beside it where it is silent, what it tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.check.doctor.case import Case
from devproxy.check.doctor.examine import examine
from devproxy.check.doctor.sxids import SXIDS
from devproxy.check.doctor.system import SYSTEM_CHECKS
from devproxy.check.doctor.xids import XIDS
from devproxy.check.finding import Finding, Severity
from devproxy.host.probe import probe_reader
from tests.hosts.device_facts import with_device_facts
from tests.hosts.machine import Machine
from tests.hosts.make import before_550, hgx_h100, tpu_v5p, without_driver, without_uvm
from tests.hosts.system_facts import with_system_facts

CHECKS: Final = {check.code: check for check in SYSTEM_CHECKS}
VERSION: Final = "550.163.01"
LIB: Final = "/usr/lib/x86_64-linux-gnu"
TOOLKIT: Final = "/etc/nvidia-container-runtime/config.toml"
CALLER: Final = {"capabilities": [], "gid": 1000, "gids": [1000], "groups": {}, "uid": 1000, "user_namespace": False}


def hgx() -> Machine:
    return with_system_facts(hgx_h100())


def case(machine: Machine) -> Case:
    return Case(probe_reader(machine, name="machine", simulated=True, deep=True))


def findings(code: str, machine: Machine) -> list[Finding]:
    found = list(CHECKS[code].run(case(machine)))
    assert all(finding.code == code for finding in found)
    return found


def log(machine: Machine, *lines: str) -> Machine:
    return machine.fact("kernel_log", {"left_out": 0, "lines": list(lines)})


def programs(machine: Machine, *told: tuple[str, str], drivers: tuple[str, ...] = (), **toolkit: str) -> Machine:
    """Programs with versions; `toolkit` are settings of its config.toml, `no_cgroups` and `mode`."""
    names = {"no_cgroups": "nvidia-container-cli.no-cgroups", "mode": "nvidia-container-runtime.mode"}
    settings = {names[key]: value for key, value in toolkit.items()}
    found = [
        {"drivers": list(drivers), "name": name, "path": f"/usr/bin/{name}", "version": version, "why": ""}
        for name, version in told
    ]
    configurations = [{"name": "nvidia-container-runtime", "path": TOOLKIT, "settings": settings, "why": ""}]
    return machine.fact("runtimes", {"configurations": configurations if toolkit else [], "programs": found})


def sockets(machine: Machine, *told: tuple[str, bool | None, str]) -> Machine:
    return machine.fact(
        "sockets",
        {
            "sockets": [
                {"listening": listening, "path": f"/run/{service}/socket", "service": service, "why": why}
                for service, listening, why in told
            ]
        },
    )


def as_user(machine: Machine, **changes: object) -> Machine:
    return machine.fact("caller", {**CALLER, **changes})


def selinux(machine: Machine, kind: str, *, enforcing: bool = True, **booleans: bool) -> Machine:
    machine.file("/sys/fs/selinux/enforce", "1" if enforcing else "0", 0o644)
    for name, on in booleans.items():
        machine.file(f"/sys/fs/selinux/booleans/{name}", "1 1" if on else "0 0", 0o644)
    labels = [{"label": f"system_u:object_r:{kind}:s0", "path": f"/dev/nvidia{minor}"} for minor in range(8)]
    return machine.fact("selinux_labels", {"labels": labels})


def upgraded(version: str = "550.200.07", *, link: bool = True) -> Machine:
    """The package was upgraded; the module was not loaded anew."""
    machine = hgx()
    for name in ("libcuda", "libnvidia-ml"):
        machine.file(f"{LIB}/{name}.so.{version}", "", 0o644)
        if link:
            machine.link(f"{LIB}/{name}.so.1", f"{name}.so.{version}")
    return machine


def nouveau() -> Machine:
    machine = with_system_facts(without_driver())
    directory = "/sys/devices/pci0000:07/0000:07:01.0/0000:07:00.0"
    return machine.file(f"{directory}/uevent", "DRIVER=nouveau\nPCI_CLASS=30200\nPCI_ID=10DE:20B2\n", 0o644)


def rules(*lines: str) -> Machine:
    """Control groups of version 1, with a docker container that has these rules."""
    machine = hgx_h100()
    directory = f"/sys/fs/cgroup/devices/docker/{'0a' * 32}"
    machine.file("/proc/self/cgroup", "5:devices:/user.slice\n").file(
        "/sys/fs/cgroup/devices/devices.list", "a *:* rwm\n", 0o600
    )
    return machine.file(f"{directory}/devices.list", "".join(f"{line}\n" for line in lines), 0o600)


def shm(machine: Machine, size: int) -> Machine:
    return machine.fact("file_systems", {"file_systems": [{"free": size, "path": "/dev/shm", "size": size}]})


def memlock(machine: Machine, soft: int | None) -> Machine:
    return machine.fact("limits", {"RLIMIT_MEMLOCK": [soft, soft]})


XID_79: Final = "[ 9041.1] NVRM: Xid (PCI:0000:3a:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
XID_31: Final = "[ 9000.5] NVRM: Xid (PCI:0000:18:00): 31, pid=4242, name=python3, Ch 00000008, MMU Fault"
# The driver's three lines for one error.
SXID_20034: Final = (
    "[ 9041.2] nvidia-nvswitch1: SXid (PCI:0000:06:00.0): 20034, Fatal, Link 48 LTSSM Fault Up",
    "[ 9041.2] nvidia-nvswitch1: SXid (PCI:0000:06:00.0): 20034, Severity 1 Engine instance 48 Sub-engine instance 00",
    "[ 9041.2] nvidia-nvswitch1: SXid (PCI:0000:06:00.0): 20034, Data {0x10000000, 0x10000000, 0x00000000}",
)
LOADED: Final = "[   21.4] nvidia-uvm: Loaded the UVM driver, major device number 462."
WOKEN: Final = "[ 3000.0] PM: suspend exit"
FAILED: Final = "[   33.1] NVRM: GPU 0000:18:00.0: RmInitAdapter failed! (0x62:0x40:1860)"
CLI: Final = ("nvidia-container-cli", "1.17.8")
KERNEL_54: Final = {"machine": "x86_64", "release": "5.4.0-42-generic", "sysname": "Linux", "version": "#1"}

Made = Callable[[], Machine]
ROWS: Final[list[tuple[str, Made, Made]]] = [
    ("inside-container", lambda: hgx().file("/.dockerenv", ""), hgx),
    ("inside-container", lambda: hgx().file("/proc/1/cgroup", "0::/kubepods.slice/x\n"), lambda: hgx().node("/dev/dxg", (10, 60))),
    ("wsl", lambda: Machine().node("/dev/dxg", (10, 60)), hgx),
    ("wsl", lambda: Machine().fact("uname", {"release": "5.15.167.4-microsoft-standard-WSL2"}), lambda: Machine().fact("uname", {"release": "6.8.0"})),
    ("blocked-by-nouveau", nouveau, lambda: with_system_facts(without_driver())),
    ("module-version-mixed", lambda: hgx().file("/sys/module/nvidia_uvm/version", "550.90.07\n"), lambda: hgx().file("/sys/module/nvidia_fs/version", "2.25\n")),
    ("driver-library-mismatch", upgraded, lambda: upgraded(link=False)),
    ("driver-library-mismatch", lambda: upgraded("570.1"), hgx),
    ("firmware-missing", lambda: hgx().file("/proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.90.07  Tue\n"), hgx),
    ("gpu-init-failed", lambda: log(hgx(), FAILED), hgx),
    ("gpu-init-failed", lambda: log(hgx(), "[   33.1] NVRM: BAR1 is 0M @ 0x0 (PCI:0000:18:00.0)"), lambda: log(hgx(), "[   33.1] NVRM: BAR1 is 256M @ 0xe0000000 (PCI:0000:18:00.0)")),
    ("xid-since", lambda: log(hgx(), XID_79), hgx),
    ("sxid-since", lambda: log(hgx(), *SXID_20034), lambda: log(hgx(), "[ 5.1] nvidia-nvswitch0: open (major=510)", XID_79)),
    ("uvm-after-suspend", lambda: log(hgx(), LOADED, WOKEN), lambda: log(hgx(), WOKEN, LOADED.replace("21.4", "3001.4"))),
    ("uvm-after-suspend", lambda: log(hgx(), WOKEN), lambda: log(with_system_facts(without_uvm()), WOKEN)),
    ("fabric-manager-missing", lambda: sockets(hgx()), hgx),
    ("fabric-manager-missing", lambda: sockets(hgx(), ("nvidia-fabricmanager", False, "ECONNREFUSED")), lambda: sockets(with_system_facts(before_550()))),
    ("fabric-manager-version", lambda: programs(hgx(), ("nv-fabricmanager", "550.90.07")), lambda: programs(hgx(), ("nv-fabricmanager", VERSION))),
    ("persistenced-socket-dead", lambda: sockets(hgx(), ("nvidia-persistenced", False, "ECONNREFUSED")), lambda: sockets(hgx(), ("nvidia-persistenced", None, "EACCES"))),
    ("selinux-denies-device", lambda: selinux(hgx(), "xserver_misc_device_t"), lambda: selinux(hgx(), "xserver_misc_device_t", container_use_devices=True)),
    ("selinux-denies-device", lambda: selinux(hgx(), "dri_device_t", container_use_xserver_devices=True), lambda: selinux(hgx(), "dri_device_t", container_use_dri_devices=True)),
    ("selinux-denies-device", lambda: selinux(hgx(), "device_t"), lambda: selinux(hgx(), "device_t", enforcing=False)),
    ("selinux-denies-device", lambda: selinux(hgx(), "vfio_device_t"), lambda: selinux(hgx(), "container_file_t")),
    ("cgroup-rule-missing", lambda: rules("c 195:* m"), lambda: rules("c 195:* rw", "c 462:* rw")),
    ("cgroup-rule-missing", lambda: rules("c 195:0 rw", "c 462:0 rw"), lambda: rules("c 195:0 rw", "c 195:255 rw", "c 462:0 rw")),
    ("cgroup-rule-missing", lambda: rules("c 195:0 rw", "c 195:255 rw"), lambda: rules("c 1:3 rwm")),
    ("cgroups-disabled-rootful", lambda: programs(hgx(), no_cgroups="true"), lambda: programs(hgx(), no_cgroups="false")),
    ("cgroups-disabled-rootful", lambda: programs(sockets(as_user(hgx()), ("docker", True, "")), no_cgroups="true"), lambda: sockets(as_user(programs(hgx(), no_cgroups="true")))),
    ("runtime-rootless-legacy", lambda: as_user(programs(hgx(), mode="legacy"), user_namespace=True), lambda: as_user(programs(hgx(), mode="legacy", no_cgroups="true"), user_namespace=True)),
    ("runtime-rootless-legacy", lambda: as_user(programs(hgx(), mode="legacy"), user_namespace=True), lambda: as_user(programs(hgx(), mode="legacy"))),
    ("runtime-bpf-unsupported", lambda: programs(hgx(), ("nvidia-container-cli", "1.7.0")), lambda: programs(hgx(), CLI)),
    ("runtime-bpf-unsupported", lambda: programs(hgx(), CLI).fact("uname", KERNEL_54), lambda: programs(rules("c 195:* rw"), CLI).fact("uname", KERNEL_54)),
    ("runtime-not-configured", lambda: programs(hgx(), ("docker", "28.2.2")), lambda: programs(hgx(), ("docker", "28.2.2"), CLI)),
    ("runtime-not-configured", lambda: programs(hgx(), ("podman", "5.4.0")), lambda: programs(hgx(), ("podman", "5.4.0")).file("/etc/cdi/nvidia.yaml", "kind: nvidia.com/gpu\n")),
    ("runsc-driver-unsupported", lambda: programs(hgx(), ("runsc", "release-20250101.0"), drivers=("550.90.07",)), lambda: programs(hgx(), ("runsc", "release-20250101.0"), drivers=("550.90.07", VERSION))),
    ("memlock-too-low", lambda: as_user(memlock(with_system_facts(tpu_v5p()), 8 << 20)), lambda: memlock(with_system_facts(tpu_v5p()), 8 << 20)),
    ("memlock-too-low", lambda: as_user(memlock(hgx(), 65536)), lambda: as_user(memlock(hgx(), None))),
    ("memlock-too-low", lambda: as_user(memlock(hgx(), 65536)), lambda: as_user(memlock(with_system_facts(before_550()), 65536))),
    ("shm-too-small", lambda: shm(hgx(), 64 << 20), lambda: shm(hgx(), 65 << 20)),
    ("shm-too-small", lambda: shm(hgx(), 64 << 20), lambda: shm(with_system_facts(without_uvm()), 64 << 20)),
]  # fmt: skip


@pytest.mark.parametrize(("code", "fires", "silent"), ROWS, ids=[f"{row[0]}-{n}" for n, row in enumerate(ROWS)])
def test_a_code_fires_on_one_machine_and_not_on_the_one_beside_it(code: str, fires: Made, silent: Made) -> None:
    found = findings(code, fires())
    assert found
    for finding in found:
        assert finding.evidence
        assert finding.hint
        assert finding.severity is not Severity.INCONCLUSIVE
    assert findings(code, silent()) == []


def test_every_code_has_a_row() -> None:
    assert {row[0] for row in ROWS} == set(CHECKS) - {"accelerators-unseen"}  # cli/test_surroundings.py


# what a finding tells


def test_a_machine_where_all_is_well_has_none_of_them() -> None:
    for make in (hgx_h100, before_550, tpu_v5p):
        machine = with_system_facts(with_device_facts(make()))
        assert [found for check in SYSTEM_CHECKS for found in check.run(case(machine))] == []


def test_a_plain_probe_says_nothing_of_what_it_did_not_look_for() -> None:
    plain = Case(probe_reader(sockets(hgx()), name="machine", simulated=True))
    assert [found for check in SYSTEM_CHECKS for found in check.run(plain)] == []


def test_an_xid_is_told_with_its_meaning_once_for_each_gpu_and_number() -> None:
    again = XID_79.replace("9041.1", "9042.7")
    first, second = findings("xid-since", log(hgx(), XID_31, XID_79, again))
    assert (first.reference, first.path, first.severity) == ("Xid 31", "0000:18:00.0", Severity.WARNING)
    assert (second.reference, second.path, second.severity) == ("Xid 79", "0000:3a:00.0", Severity.ERROR)
    assert second.found == "Xid 79 2 times"
    assert "fallen off the bus" in second.why
    assert [evidence.value.split("]")[0] for evidence in second.evidence] == ["[9041.100000", "[9042.700000"]


def test_an_xid_that_no_table_has_is_told_all_the_same() -> None:
    (found,) = findings("xid-since", log(hgx(), "[ 1.0] NVRM: Xid (PCI:0000:18:00): 999, pid=1"))
    assert (found.reference, found.severity) == ("Xid 999", Severity.WARNING)


def test_a_log_that_was_not_read_leaves_xids_in_doubt_outside_of_containers() -> None:
    (found,) = findings("xid-since", hgx_h100())
    assert (found.severity, found.path) == (Severity.INCONCLUSIVE, "/dev/kmsg")
    assert findings("xid-since", hgx_h100().file("/.dockerenv", "")) == []


def test_the_table_has_the_xids_that_operators_know() -> None:
    known = {13, 31, 43, 45, 48, 61, 62, 63, 64, 74, 79, 92, 94, 95, 109, 119, 120, 121, 140}
    assert known <= XIDS.keys()
    assert all(xid.meaning and xid.action for xid in XIDS.values())


def switched(number: int, said: str = "Non-fatal, Link 12 whatever it was") -> Finding:
    line = f"[ 1.0] nvidia-nvswitch0: SXid (PCI:0000:05:00.0): {number:05}, {said}"
    (found,) = findings("sxid-since", log(hgx(), line))
    return found


def test_an_sxid_is_told_once_for_each_switch_and_number_with_its_links() -> None:
    other = [line.replace("48", "37") for line in SXID_20034]
    second = [line.replace("nvswitch1", "nvswitch0").replace("06:00", "05:00") for line in SXID_20034]
    first, last = findings("sxid-since", log(hgx(), *SXID_20034, *other, *second))
    assert (first.path, first.found) == ("0000:06:00.0", "fatal SXid 20034 2 times on links 37, 48")
    assert (last.path, last.found) == ("0000:05:00.0", "fatal SXid 20034 once on link 48")
    assert first.severity is Severity.ERROR
    assert first.reference == "DCGM_FR_NVSWITCH_FATAL_ERROR, SXid 20034"
    assert ["Fatal" in evidence.value for evidence in first.evidence] == [True, True]


def test_of_an_sxid_whose_first_line_is_gone_the_rest_is_told() -> None:
    (found,) = findings("sxid-since", log(hgx(), *SXID_20034[1:]))
    assert (found.found, found.severity) == ("SXid 20034 once", Severity.ERROR)  # the table knows that it is one


def test_the_driver_says_how_bad_an_sxid_is_and_the_table_what_it_is() -> None:
    for number, said, severity in (
        (20099, "Fatal, Link 1", Severity.ERROR), (20099, "Non-fatal, Link 1", Severity.WARNING),
        (11012, "Non-fatal, Link 1", Severity.INFO), (11012, "Fatal, Link 1", Severity.ERROR), (22013, "Non-fatal", Severity.INFO),
        (20012, "Fatal, Link 1", Severity.ERROR), (20012, "Non-fatal, Link 1", Severity.WARNING),
        (12028, "Non-fatal, Link 1", Severity.ERROR), (23005, "Non-fatal", Severity.ERROR), (99001, "Fatal", Severity.ERROR),
    ):  # fmt: skip
        assert switched(number, said).severity is severity, (number, said)
    assert "the whole fabric" in switched(23009, "Fatal").why
    assert "transaction layer" in switched(19999, "Fatal, Link 3").why
    assert "not in devproxy's table" in switched(99001).why
    assert all(known.meaning and known.action for known in SXIDS.values())


def test_a_log_that_was_not_read_leaves_sxids_in_doubt_where_there_are_switches() -> None:
    (found,) = findings("sxid-since", hgx_h100())
    assert (found.severity, found.path) == (Severity.INCONCLUSIVE, "/dev/kmsg")
    assert findings("sxid-since", before_550()) == []


def test_a_mismatch_names_the_library_that_programs_load_and_both_versions() -> None:
    cuda, ml = findings("driver-library-mismatch", upgraded())
    assert (cuda.path, ml.path) == (f"{LIB}/libcuda.so.550.200.07", f"{LIB}/libnvidia-ml.so.550.200.07")
    assert VERSION in cuda.expected
    assert [evidence.source for evidence in cuda.evidence] == ["/proc/driver/nvidia/version", cuda.path]


def test_a_driver_container_with_the_right_libraries_is_enough() -> None:
    machine = upgraded()
    for name in ("libcuda", "libnvidia-ml"):
        machine.file(f"/run/nvidia/driver{LIB}/{name}.so.{VERSION}", "", 0o644)
        machine.link(f"/run/nvidia/driver{LIB}/{name}.so.1", f"{name}.so.{VERSION}")
    assert findings("driver-library-mismatch", machine) == []


def test_missing_firmware_is_an_error_where_a_gpu_did_not_start() -> None:
    machine = hgx().file(
        "/proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.90.07  T\n"
    )
    assert findings("firmware-missing", machine)[0].severity is Severity.WARNING
    (found,) = findings("firmware-missing", log(machine, FAILED))
    assert found.severity is Severity.ERROR
    assert VERSION in found.found


def test_saved_memory_survives_a_suspend() -> None:
    machine = log(hgx(), LOADED, WOKEN)
    params = machine.read_bytes("/proc/driver/nvidia/params", 4096).decode()
    machine.file("/proc/driver/nvidia/params", f"{params}PreserveVideoMemoryAllocations: 1\n")
    assert findings("uvm-after-suspend", machine) == []


def test_services_that_nobody_looked_for_leave_the_fabric_in_doubt() -> None:
    (found,) = findings("fabric-manager-missing", hgx_h100())
    assert found.severity is Severity.INCONCLUSIVE
    (found,) = findings("fabric-manager-missing", sockets(hgx(), ("nvidia-fabricmanager", None, "EACCES")))
    assert found.severity is Severity.INCONCLUSIVE
    assert "EACCES" in found.why


def test_no_cgroups_is_a_warning_where_nobody_knows_who_runs_the_engine() -> None:
    (found,) = findings("cgroups-disabled-rootful", programs(hgx_h100(), no_cgroups="true"))
    assert found.severity is Severity.WARNING


def test_asking_for_gpus_makes_a_missing_toolkit_an_error() -> None:
    machine = programs(hgx(), ("docker", "28.2.2"))
    assert findings("runtime-not-configured", machine)[0].severity is Severity.WARNING
    machine.fact("environment", {"variables": {"NVIDIA_VISIBLE_DEVICES": "all"}})
    assert findings("runtime-not-configured", machine)[0].severity is Severity.ERROR


def test_a_group_that_reload_emptied_lacks_every_number() -> None:
    lost = findings("cgroup-rule-missing", rules("c 195:* m", "c 1:3 rwm"))
    assert [finding.expected for finding in lost] == ["a rule `c 195:* rw`", "a rule `c 462:* rw`"]
    assert all(finding.path == "0a" * 32 for finding in lost)


# whatever the documents say

NAMES: Final = (
    "kernel_log",
    "sockets",
    "caller",
    "runtimes",
    "file_systems",
    "environment",
    "command_line",
    "selinux_labels",
)
ANYTHING: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.property
@given(st.dictionaries(st.sampled_from(NAMES), st.dictionaries(st.sampled_from(
    ("lines", "sockets", "programs", "configurations", "file_systems", "variables", "parameters", "labels", "uid", "gids",
     "groups")), ANYTHING, max_size=4)))  # fmt: skip
def test_no_document_makes_the_doctor_stumble(documents: dict[str, Any]) -> None:
    machine = selinux(hgx(), "device_t")
    for name, document in documents.items():
        machine.fact(name, document)
    report = examine(case(machine))
    assert report.compared[0][1] > len(CHECKS)
    assert all(finding.path and finding.found for finding in report.findings)
