"""Each code about devices: a machine where it fires, one beside it where it is silent, and what it tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.check.doctor.case import Case
from devproxy.check.doctor.devices import DEVICE_CHECKS
from devproxy.check.doctor.examine import examine
from devproxy.check.finding import Finding, Severity
from devproxy.host.probe import probe_reader
from tests.hosts.machine import Machine
from tests.hosts.make import hgx_h100, mixed, tpu_v4, tpu_v5p, tpu_without_driver, without_driver

CHECKS: Final = {check.code: check for check in DEVICE_CHECKS}
ROOT: Final = {"uid": 0, "gid": 0, "gids": [0], "capabilities": [], "user_namespace": False, "groups": {}}


def case(machine: Machine, *, before_job: bool = False) -> Case:
    return Case(probe_reader(machine, name="machine", simulated=True, deep=True), before_job=before_job)


def findings(code: str, machine: Machine, *, before_job: bool = False) -> list[Finding]:
    found = list(CHECKS[code].run(case(machine, before_job=before_job)))
    assert all(finding.code == code for finding in found)
    return found


def opened(machine: Machine, **said: str) -> Machine:
    """What opening said: errno names by the node's name, with `__` for a slash; a number where it opened."""
    opens = []
    for name, word in said.items():
        number = word if ":" in word else ""
        opens.append({"errno": "" if number else word, "number": number, "path": f"/dev/{name.replace('__', '/')}"})
    return machine.fact("opens", {"left_out": 0, "opens": opens})


def held(machine: Machine, *paths: str, complete: bool = True) -> Machine:
    holder = {"name": "python3", "paths": list(paths), "pid": 4242, "started": 5, "uid": 1000}
    why = "" if complete else "the descriptors of 3 processes may not be read"
    holders = [holder] if paths else []
    return machine.fact(
        "holders", {"complete": complete, "holders": holders, "unread": 0 if complete else 3, "why": why}
    )


def pci(machine: Machine, address: str, ids: str, class_code: str, driver: str, group: int | None = None) -> Machine:
    directory = f"/sys/devices/pci0000:00/{address}"
    machine.link(f"/sys/bus/pci/devices/{address}", f"../../..{directory[4:]}")
    bound = f"DRIVER={driver}\n" if driver else ""
    machine.file(f"{directory}/uevent", f"{bound}PCI_CLASS={class_code}\nPCI_ID={ids}\n")
    if group is not None:
        machine.link(f"{directory}/iommu_group", f"../../../kernel/iommu_groups/{group}")
        machine.link(f"/sys/kernel/iommu_groups/{group}/devices/{address}", f"../../../..{directory[4:]}")
    return machine


def vfio_pair(driver: str, second_class: str = "20000") -> Machine:
    """A device given to vfio, and another one in its group."""
    machine = pci(Machine(), "0000:00:05.0", "10DE:2330", "30200", "vfio-pci", 7)
    return pci(machine, "0000:00:06.0", "15B3:1021", second_class, driver, 7).node("/dev/vfio/7", (511, 0))


def numa(machine: Machine, cpus: list[int], nodes: tuple[str, ...] = ("0-3", "4-7")) -> Machine:
    for number, text in enumerate(nodes):
        machine.file(f"/sys/devices/system/node/node{number}/cpulist", f"{text}\n")
    return machine.fact("affinity", {"cpus": cpus})


def lock(machine: Machine, *, held: bool | None, kind: str = "file", uid: int = 1001) -> Machine:
    found = {"held": held, "kind": kind, "mode": 0o644, "path": "/tmp/libtpu_lockfile", "pid": None, "uid": uid}
    return machine.fact("locks", {"locks": [found]})


def control(mode: int | None) -> Machine:
    machine = Machine().node("/dev/vfio/7", (511, 0), 0o666)
    return machine if mode is None else machine.node("/dev/vfio/vfio", (10, 196), mode)


def linked(*numbers: str) -> Machine:
    machine = Machine().node("/dev/nvidia0", (195, 0)).node("/dev/nvidiactl", (195, 255)).directory("/dev/char")
    targets = {"195:0": "../nvidia0", "195:255": "/dev/nvidiactl"}
    for number in numbers:
        machine.link(f"/dev/char/{number}", targets[number])
    return machine


def coral(driver: str = "apex", *, module: bool = True, registered: bool = True, node: bool = True) -> Machine:
    """A Coral on PCI Express, beside the null device that every /dev has."""
    machine = pci(Machine(), "0000:03:00.0", "1AC1:089A", "88000", driver).node("/dev/null", (1, 3))
    machine.file(
        "/proc/modules",
        "apex 28672 0 - Live 0x0\ngasket 122880 1 apex, Live 0x0\n" if module else "xfs 1 0 - Live 0x0\n",
    )
    if registered:
        path = "/sys/devices/pci0000:00/0000:03:00.0/apex/apex_0"
        machine.file(f"{path}/dev", "120:0\n").link("/sys/class/apex/apex_0", f"../..{path[4:]}")
    return machine.node("/dev/apex_0", (120, 0), 0o660) if node else machine


def npu(ids: str = "1022:1502", class_code: str = "118000", driver: str = "amdxdna") -> Machine:
    """An NPU without its firmware: bound or refused, and never registered."""
    machine = pci(Machine(), "0000:c6:00.1", ids, class_code, driver).node("/dev/null", (1, 3))
    return machine.file("/proc/modules", "amdxdna 90112 0 - Live 0x0\nintel_vpu 200000 0 - Live 0x0\n")


Make = Callable[[], Machine]
# code, fires, subjects, silent
ROWS: Final[list[tuple[str, Make, list[str], Make]]] = [
    ("open-no-driver", lambda: opened(hgx_h100(), nvidia0="ENXIO"), ["/dev/nvidia0"],
     lambda: opened(hgx_h100(), nvidia0="195:0")),
    ("open-denied-by-cgroup", lambda: opened(hgx_h100(), nvidia0="EPERM"), ["/dev/nvidia0"],
     lambda: opened(hgx_h100(), nvidia0="EACCES")),
    ("open-denied-by-mode", lambda: opened(mixed(), dri__renderD128="EACCES"), ["/dev/dri/renderD128"],
     lambda: opened(mixed(), dri__renderD128="EPERM")),
    ("open-failed", lambda: opened(hgx_h100(), nvidia0="EINVAL", nvidia1="195:9"), ["/dev/nvidia0", "/dev/nvidia1"],
     lambda: opened(hgx_h100(), nvidia0="EPERM", nvidia1="195:1")),
    ("device-lost", lambda: opened(hgx_h100(), nvidia0="ENODEV", nvidia1="EIO", nvidia2="ETIMEDOUT"),
     ["/dev/nvidia0", "/dev/nvidia1", "/dev/nvidia2"], lambda: opened(hgx_h100(), nvidia0="ENXIO")),
    ("device-busy", lambda: opened(tpu_v4(), accel1="EBUSY"), ["/dev/accel1"], lambda: opened(tpu_v4(), accel1="121:1")),
    ("device-busy", lambda: held(tpu_v5p(), "/dev/vfio/1", "/dev/vfio/vfio"), ["/dev/vfio/1"],
     lambda: held(tpu_v5p(), "/dev/vfio/vfio")),
    ("device-busy", lambda: held(hgx_h100(), "/dev/nvidia3", "/dev/nvidiactl", "/dev/nvidia-uvm"), ["/dev/nvidia3"],
     lambda: held(hgx_h100(), "/dev/nvidia3", "/dev/nvidiactl")),
    ("holders-unknown", lambda: held(hgx_h100(), complete=False), ["/proc"], lambda: held(hgx_h100())),
    ("holders-unknown", lambda: held(tpu_v4(), complete=False), ["/proc"], lambda: held(Machine(), complete=False)),
    ("vfio-foreign-group", mixed, ["/dev/vfio/96"], tpu_v5p),
    ("vfio-control-mode", lambda: control(0o600), ["/dev/vfio/vfio"], lambda: control(0o666)),
    ("vfio-control-mode", lambda: control(None), ["/dev/vfio/vfio"], lambda: control(None).node("/dev/iommu", (10, 123))),
    ("vfio-group-not-viable", lambda: vfio_pair("mlx5_core"), ["/dev/vfio/7"], lambda: vfio_pair("pcieport")),
    ("vfio-group-not-viable", lambda: vfio_pair("mlx5_core"), ["/dev/vfio/7"], lambda: vfio_pair("")),
    ("iommu-group-shared", lambda: vfio_pair("vfio-pci"), ["/dev/vfio/7"], lambda: vfio_pair("pcieport", "60400")),
    ("iommu-off", lambda: pci(Machine(), "0000:00:05.0", "10DE:2330", "30200", "vfio-pci"), ["0000:00:05.0"],
     lambda: vfio_pair("")),
    ("iommu-off", lambda: pci(Machine(), "0000:00:05.0", "1AE0:0063", "FF0000", ""), ["0000:00:05.0"],
     lambda: pci(Machine(), "0000:00:05.0", "1AE0:005E", "FF0000", "")),
    ("tpu-generation-unknown", lambda: pci(Machine(), "0000:00:05.0", "1AE0:0099", "FF0000", ""), ["0000:00:05.0"],
     lambda: pci(Machine(), "0000:00:05.0", "1AE0:006E", "FF0000", "")),
    ("tpu-generation-unknown", lambda: pci(Machine(), "0000:00:05.0", "1AE0:0099", "120000", ""), ["0000:00:05.0"],
     lambda: pci(Machine(), "0000:00:05.0", "1AE0:0042", "20000", "gvnic")),
    ("tpu-chips-mixed", lambda: pci(tpu_v4(), "0000:00:1f.0", "1AE0:0063", "FF0000", ""), ["/sys/bus/pci/devices"], tpu_v4),
    ("tpu-chip-unusable", lambda: pci(Machine(), "0000:00:05.0", "1AE0:005E", "FF0000", "tpu").node("/dev/null", (1, 3)), ["0000:00:05.0"], tpu_v5p),
    ("tpu-lockfile-stale", lambda: held(lock(tpu_v4(), held=False)), ["/tmp/libtpu_lockfile"],
     lambda: held(lock(tpu_v4(), held=True))),
    ("tpu-lockfile-stale", lambda: held(lock(tpu_v4(), held=None, kind="link")), ["/tmp/libtpu_lockfile"],
     lambda: held(lock(tpu_v4(), held=None))),
    ("tpu-lockfile-stale", lambda: held(lock(tpu_v4(), held=False)), ["/tmp/libtpu_lockfile"],
     lambda: held(lock(tpu_v4(), held=False), "/dev/accel0")),
    ("tpu-lockfile-stale", lambda: held(lock(tpu_v4(), held=False)), ["/tmp/libtpu_lockfile"],
     lambda: held(lock(Machine(), held=False))),
    ("accel-is-not-tpu", mixed, ["/dev/accel/accel0"], tpu_v4),
    ("accelerator-node-missing", lambda: coral(node=False), ["/dev/apex_0"], coral),
    ("accelerator-node-missing", lambda: coral(registered=False, node=False), ["0000:03:00.0"], lambda: coral("vfio-pci", node=False)),
    ("accelerator-node-missing", lambda: coral("", registered=False, node=False), ["0000:03:00.0"],
     lambda: coral("", module=False, registered=False, node=False)),
    ("accelerator-node-missing", npu, ["0000:c6:00.1"], lambda: npu(driver="vfio-pci")),
    ("accelerator-node-missing", lambda: npu(driver=""), ["0000:c6:00.1"], lambda: npu("1022:15FF", driver="")),
    ("accelerator-node-missing", lambda: npu("8086:643E", "120000", "intel_vpu"), ["0000:c6:00.1"],
     lambda: npu("8086:643E", "120000", "")),  # driver-not-loaded tells that
    ("accelerator-node-missing", lambda: mixed().remove("/dev/accel/accel0"), ["/dev/accel/accel0"], mixed),
    ("accelerator-node-missing", lambda: coral(node=False), ["/dev/apex_0"], lambda: coral(node=False).file("/.dockerenv", "")),
    ("accelerator-node-missing", lambda: coral(node=False), ["/dev/apex_0"], lambda: coral(node=False).directory("/dev/apex_0")),
    ("driver-not-loaded", without_driver, ["0000:07:00.0"], hgx_h100),
    ("driver-not-loaded", tpu_without_driver, [f"0000:00:{number:02x}.0" for number in range(4, 12)], tpu_v5p),
    ("driver-not-loaded", lambda: pci(Machine(), "0000:00:05.0", "1DA3:1060", "120000", ""), ["0000:00:05.0"],
     lambda: pci(Machine(), "0000:00:05.0", "1AE0:0042", "20000", "")),
    ("dev-char-link-missing", lambda: linked("195:0"), ["/dev/char"], lambda: linked("195:0", "195:255")),
    ("dev-char-link-missing", lambda: linked("195:0").link("/dev/char/195:255", "../nvidia0"), ["/dev/char"],
     lambda: Machine().node("/dev/dri/renderD128", (226, 128))),
    ("numa-unbound", lambda: numa(hgx_h100(), [0, 1]), [f"0000:{bus}:00.0" for bus in ("9a", "ab", "ba", "db")],
     lambda: numa(hgx_h100(), [0, 4])),
    ("numa-unbound", lambda: numa(hgx_h100(), [7]), [f"0000:{bus}:00.0" for bus in ("18", "2a", "3a", "5d")],
     lambda: numa(hgx_h100(), [0], ("0-7",))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "fires", "subjects", "silent"), ROWS, ids=[f"{row[0]}-{n}" for n, row in enumerate(ROWS)]
)
def test_fires_and_is_silent(code: str, fires: Make, subjects: list[str], silent: Make) -> None:
    found = findings(code, fires())
    assert [finding.path for finding in found] == subjects
    for finding in found:
        assert finding.evidence
        assert finding.hint or finding.severity is Severity.INFO
        assert finding.severity in (CHECKS[code].severity, Severity.WARNING, Severity.INFO)
    assert findings(code, silent()) == []


def test_every_code_has_a_row() -> None:
    assert {row[0] for row in ROWS} == set(CHECKS)


# what a finding tells


def test_a_coral_that_was_refused_is_told_with_its_module_and_one_without_a_node_with_its_number() -> None:
    (refused,) = findings("accelerator-node-missing", coral("", registered=False, node=False))
    assert refused.found == "none in /sys/class/apex"
    assert refused.evidence[0].value == "no DRIVER line; module apex is loaded"
    (gone,) = findings("accelerator-node-missing", coral(node=False))
    assert gone.expected == "the node of Coral Edge TPU 0000:03:00.0"
    assert "mknod /dev/apex_0 c $(tr : ' ' < /sys/devices/pci0000:00/0000:03:00.0/apex/apex_0/dev)" in gone.hint


def test_a_directory_in_a_corals_place_is_told_as_what_it_is() -> None:
    host = probe_reader(coral(node=False).directory("/dev/apex_0"), name="machine", simulated=True, deep=True)
    codes = {finding.code: finding.found for finding in examine(Case(host)).findings}
    assert codes["node-kind-wrong"] == "a directory"


def test_a_class_that_was_not_seen_is_inconclusive() -> None:
    (found,) = findings("accelerator-node-missing", coral(registered=False, node=False).refuse("/sys/class/apex"))
    assert (found.severity, found.path) == (Severity.INCONCLUSIVE, "/sys/class/apex")


def test_a_busy_device_names_who_holds_it_and_fails_a_job() -> None:
    machine = held(opened(tpu_v4(), accel0="EBUSY"), "/dev/accel0")
    (finding,) = findings("device-busy", machine)
    assert finding.severity is Severity.WARNING
    assert "python3 (pid 4242, uid 1000)" in finding.found
    assert "4242" in finding.hint
    assert [evidence.source for evidence in finding.evidence] == ["facts/opens.json", "facts/holders.json"]
    assert findings("device-busy", machine, before_job=True)[0].severity is Severity.ERROR


def test_unknown_holders_make_a_job_inconclusive() -> None:
    machine = held(tpu_v4(), complete=False)
    assert findings("holders-unknown", machine)[0].severity is Severity.INFO
    assert findings("holders-unknown", machine, before_job=True)[0].severity is Severity.INCONCLUSIVE


def test_a_lock_that_may_be_held_by_who_was_not_seen_is_no_error() -> None:
    (finding,) = findings("tpu-lockfile-stale", held(lock(tpu_v4(), held=False), complete=False))
    assert finding.severity is Severity.WARNING
    assert "looked into" in finding.why


def test_links_that_were_not_seen_are_inconclusive() -> None:
    machine = linked("195:0").refuse("/dev/char")
    machine.lstat = _refusing(machine)  # type: ignore[method-assign]
    (finding,) = findings("dev-char-link-missing", machine)
    assert finding.severity is Severity.INCONCLUSIVE


def _refusing(machine: Machine) -> Any:
    real = machine.lstat

    def lstat(path: str) -> Any:
        if path == "/dev/char":
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    return lstat


def test_a_plain_probe_says_nothing_of_what_it_never_looked_at() -> None:
    host = probe_reader(hgx_h100(), name="plain", simulated=True)
    report = examine(Case(host))
    assert [f.code for f in report.findings if f.code in CHECKS and f.severity is not Severity.INCONCLUSIVE] == []


ABOUT_ABSENCE: Final = (
    "accelerator-node-missing",
    "driver-not-loaded",
    "iommu-off",
    "vfio-control-mode",
    "dev-char-link-missing",
    "tpu-chip-unusable",
)


@pytest.mark.parametrize("row", [n for n, row in enumerate(ROWS) if row[0] in ABOUT_ABSENCE])
def test_a_report_is_not_blamed_for_what_it_leaves_out(row: int) -> None:
    code, fires = ROWS[row][:2]
    host = probe_reader(fires(), name="report", simulated=True, deep=True, coverage=())
    found = [each for each in CHECKS[code].run(Case(host)) if each.severity is not Severity.INCONCLUSIVE]
    # A mode that is shown is a mode.
    assert [each for each in found if each.found != "0600: for uid 0 alone"] == []


def test_a_report_that_shows_that_nothing_is_bound_is_believed() -> None:
    shown = ("/sys/devices/pci0000:07/0000:07:01.0/0000:07:00.0/driver",)
    host = probe_reader(without_driver(), name="report", simulated=True, deep=True, coverage=shown)
    assert [each.path for each in CHECKS["driver-not-loaded"].run(Case(host))] == ["0000:07:00.0"]


MACHINES: Final = (hgx_h100, mixed, tpu_v4, tpu_v5p, tpu_without_driver, without_driver)
values = st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.lists(st.text(max_size=3), max_size=2)
entries = st.dictionaries(
    st.sampled_from(("pid", "name", "paths", "uid", "started", "path", "held", "kind", "errno", "number", "mode")),
    values,
)


@pytest.mark.property
@given(
    st.sampled_from(MACHINES),
    st.sampled_from((("holders", "holders"), ("opens", "opens"), ("locks", "locks"), ("affinity", "cpus"))),
    st.lists(entries | st.integers(), max_size=4),
)
def test_no_fact_is_a_traceback(make: Make, where: tuple[str, str], documents: list[Any]) -> None:
    machine = make().fact(where[0], {where[1]: documents})
    for check in DEVICE_CHECKS:
        assert all(finding.code == check.code for finding in check.run(case(machine)))
