"""Each code about nodes, modes, MIG and bundles: a machine where it fires, one beside it where it is silent, and what it tells."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from devproxy.bugreport.report import read_text
from devproxy.check.doctor.bundle import BUNDLE_CHECKS
from devproxy.check.doctor.case import Case
from devproxy.check.doctor.mig import MIG_CHECKS, expected_minor
from devproxy.check.doctor.modes import MODE_CHECKS
from devproxy.check.doctor.nodes import NODE_CHECKS
from devproxy.check.finding import Finding, Severity
from devproxy.errors import InputError
from devproxy.host.probe import probe_reader
from devproxy.oci.load import load
from devproxy.plan.planner import plan
from tests.bundles import runc_spec_like, write_bundle
from tests.hosts.machine import Machine
from tests.hosts.make import before_550, cpu_only, hgx_h100, malformed, mixed, partitioned, without_driver, without_uvm

CHECKS: Final = {check.code: check for check in (*NODE_CHECKS, *MODE_CHECKS, *MIG_CHECKS, *BUNDLE_CHECKS)}
DRIVER: Final = "/proc/driver/nvidia"
USER: Final = {
    "uid": 1000,
    "gid": 1000,
    "gids": [1000],
    "capabilities": [],
    "user_namespace": False,
    "groups": {"video": 44},
}


def findings(code: str, machine: Machine) -> list[Finding]:
    host = probe_reader(machine, name="machine", simulated=True, deep=True)
    found = list(CHECKS[code].run(Case(host)))
    assert all(finding.code == code for finding in found)
    return found


def moved(
    path: str, number: tuple[int, int], mode: int = 0o666, gid: int = 0, kind: int = stat.S_IFCHR
) -> Callable[[], Machine]:
    """The example with a node replaced."""
    return lambda: hgx_h100().node(path, number, mode, gid, kind)


def without(*paths: str) -> Callable[[], Machine]:
    return lambda: hgx_h100().remove(*paths)


def params(mode: int, modify: int = 1) -> Machine:
    return hgx_h100().file(f"{DRIVER}/params", f"ModifyDeviceFiles: {modify}\nDeviceFileMode: {mode}\n")


Row = tuple[str, Callable[[], Machine], list[str], Callable[[], Machine]]
ROWS: Final[list[Row]] = [
    ("uvm-not-loaded", without_uvm, ["nvidia-uvm"], hgx_h100),
    ("uvm-not-loaded", without_uvm, ["nvidia-uvm"], without_driver),
    ("node-missing", without("/dev/nvidia3"), ["/dev/nvidia3"], hgx_h100),
    ("node-missing", without("/dev/nvidiactl", "/dev/nvidia-uvm"), ["/dev/nvidiactl", "/dev/nvidia-uvm"], partitioned),
    ("node-missing", without("/dev/nvidia-uvm-tools"), ["/dev/nvidia-uvm-tools"], without_uvm),
    ("node-missing", without("/dev/nvidia-nvswitch2"), ["/dev/nvidia-nvswitch2"], before_550),
    ("node-major-mismatch", moved("/dev/nvidia-uvm", (510, 0)), ["/dev/nvidia-uvm"], hgx_h100),
    ("node-major-mismatch", moved("/dev/nvidia-caps/nvidia-cap1", (461, 1)), ["/dev/nvidia-caps/nvidia-cap1"], partitioned),
    ("node-major-mismatch", moved("/dev/nvidia0", (196, 0)), ["/dev/nvidia0"], before_550),
    ("node-minor-wrong", moved("/dev/nvidia1", (195, 0)), ["/dev/nvidia1"], hgx_h100),
    ("node-minor-wrong", moved("/dev/nvidia-uvm-tools", (462, 0)), ["/dev/nvidia-uvm-tools"], mixed),
    ("node-major-zero", moved("/dev/nvidia-uvm", (0, 0)), ["/dev/nvidia-uvm"], hgx_h100),
    ("node-kind-wrong", lambda: hgx_h100().remove("/dev/nvidia3").directory("/dev/nvidia3"), ["/dev/nvidia3"], hgx_h100),
    ("node-kind-wrong", lambda: hgx_h100().remove("/dev/nvidia-uvm").file("/dev/nvidia-uvm", ""), ["/dev/nvidia-uvm"], mixed),
    ("node-kind-wrong", moved("/dev/nvidia0", (195, 0), kind=stat.S_IFBLK), ["/dev/nvidia0"], partitioned),
    ("node-duplicate", moved("/dev/nvidia1", (195, 0)), ["/dev/nvidia1"], hgx_h100),
    ("node-mode-malformed", moved("/dev/nvidia0", (195, 0), 0o1232), ["/dev/nvidia0"], hgx_h100),
    ("node-mode-restrictive", moved("/dev/nvidia0", (195, 0), 0o660, 44), ["/dev/nvidia0"], hgx_h100),
    ("node-mode-looser-than-params", lambda: params(0o660), ["/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"], lambda: params(0o666)),
    ("node-directory-unreadable", lambda: hgx_h100().refuse("/dev/nvidia-caps"), ["/dev/nvidia-caps"], hgx_h100),
    ("params-no-device-files", lambda: params(0o666, 0), [f"{DRIVER}/params"], lambda: params(0o666)),
    ("mig-caps-missing", lambda: partitioned().remove("/dev/nvidia-caps/nvidia-cap283"), ["/dev/nvidia-caps/nvidia-cap283"], partitioned),
    ("mig-minor-unexpected", lambda: partitioned().file(f"{DRIVER}/capabilities/mig/monitor", "DeviceFileMinor: 7\nDeviceFileMode: 292\n"), ["mig/monitor"], partitioned),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "fires", "subjects", "silent"), ROWS, ids=[f"{row[0]}-{n}" for n, row in enumerate(ROWS)]
)
def test_fires_and_is_silent(
    code: str, fires: Callable[[], Machine], subjects: list[str], silent: Callable[[], Machine]
) -> None:
    found = findings(code, fires())
    assert [finding.path for finding in found] == subjects
    for finding in found:
        assert finding.hint
        assert finding.evidence
        assert finding.severity in (CHECKS[code].severity, Severity.ERROR, Severity.WARNING)
    assert findings(code, silent()) == []


def test_a_mismatch_tells_both_majors_and_whose_the_wrong_one_is() -> None:
    (finding,) = findings("node-major-mismatch", moved("/dev/nvidia-uvm", (463, 0))())
    assert (finding.expected, finding.found) == ("major 462", "major 463, the major of nvidia-caps")
    assert finding.hint == "rm /dev/nvidia-uvm && nvidia-modprobe -u -c 0"


def test_a_decimal_mode_is_explained() -> None:
    (finding,) = findings("node-mode-malformed", params(666).node("/dev/nvidia0", (195, 0), 0o1232))
    assert finding.found == "c-w--wx-wT"
    assert "666 was taken for decimal, which is 01232" in finding.why
    assert ("/proc/driver/nvidia/params", "DeviceFileMode: 666 (decimal; 01232)") in [
        tuple(e) for e in finding.evidence
    ]


@pytest.mark.parametrize(("gid", "mode", "shut_out"), [(44, 0o660, True), (1000, 0o660, False), (44, 0o600, True)])
def test_a_mode_that_shuts_the_caller_out_is_an_error(gid: int, mode: int, *, shut_out: bool) -> None:
    machine = hgx_h100().fact("caller", USER).node("/dev/nvidia0", (195, 0), mode, gid)
    (finding,) = findings("node-mode-restrictive", machine)
    assert finding.severity is (Severity.ERROR if shut_out else Severity.WARNING)


def test_a_mig_device_without_its_minor_known_is_told() -> None:
    assert malformed is not None
    assert expected_minor("gpu0/mig/gi2/access") == 21
    assert expected_minor("gpu0/mig/gi2/ci0/access") == 22
    assert expected_minor("gpu1/mig/gi2/access") == 156
    assert expected_minor("fabric-mgmt") is None


class TestReports:
    """What a report does not list is not missing."""

    LISTING = "$ ls -l {}\n{}\n$ cat /proc/devices\nCharacter devices:\n195 nvidia\n510 nvidia-uvm\n\nBlock devices:\n"
    NODE = "crw-rw-rw- 1 root root 195, 0 Feb 13 14:29 /dev/nvidia0"

    def codes(self, text: str) -> set[str]:
        host = read_text(text).host
        return {
            f"{f.code} {f.path}"
            for check in CHECKS.values()
            for f in check.run(Case(host))
            if f.severity is Severity.ERROR
        }

    def test_a_glob_that_lists_nothing_else_tells_what_is_missing(self) -> None:
        found = self.codes(self.LISTING.format("/dev/nvidia*", self.NODE))
        assert "node-missing /dev/nvidia-uvm" in found

    def test_one_node_alone_tells_nothing_of_others(self) -> None:
        assert not self.codes(self.LISTING.format("/dev/nvidia0", self.NODE))

    def test_a_mig_uuid_is_held_against_a_list_of_uuids_alone(self) -> None:
        gpu = "GPU 0: NVIDIA L4 (UUID: GPU-3291dfa4-fcc4-0110-615b-c894a0d7c689)\n"
        part = "  MIG 1g.10gb     Device  0: (UUID: MIG-c7384736-a75d-5afc-978f-d2f1294409fd)\n"
        asked = "$ docker run -e NVIDIA_VISIBLE_DEVICES={} ubuntu nvidia-smi\n"
        here, gone = "MIG-c7384736-a75d-5afc-978f-d2f1294409fd", "MIG-28d9b0e5-5f0b-5a7f-8e8c-4f3a1f1c2f00"
        assert not self.codes(f"$ nvidia-smi -L\n{gpu}{part}{asked.format(here)}")
        assert self.codes(f"$ nvidia-smi -L\n{gpu}{part}{asked.format(gone)}") == {f"device-id-unknown {gone}"}
        assert not self.codes(asked.format(gone))

    def test_ids_are_held_against_the_gpus_that_are_listed(self) -> None:
        listed = "$ nvidia-smi -L\nGPU 0: NVIDIA L4 (UUID: GPU-3291dfa4-fcc4-0110-615b-c894a0d7c689)\n"
        asked = "$ docker run -e NVIDIA_VISIBLE_DEVICES={} ubuntu nvidia-smi\n"
        assert self.codes(listed + asked.format(3)) == {"device-id-unknown 3"}
        assert not self.codes(listed + asked.format(0))
        assert not self.codes(asked.format(3))


class TestBundles:
    def findings(self, code: str, bundle: str, machine: Machine | None = None) -> list[Finding]:
        host = probe_reader(machine or hgx_h100(), name="machine", simulated=True, deep=True)
        return list(CHECKS[code].run(Case(host, load(bundle))))

    def bundle(self, tmp_path: Path, *devices: tuple[str, int, int], **process: Any) -> str:
        linux = runc_spec_like()["linux"]
        listed = [{"path": path, "type": "c", "major": major, "minor": minor} for path, major, minor in devices]
        return write_bundle(
            tmp_path / "b", runc_spec_like(linux={**linux, "devices": listed}, process={"args": ["x"], **process})
        )

    def test_a_stale_major_in_a_bundle(self, tmp_path: Path) -> None:
        bundle = self.bundle(tmp_path, ("/dev/nvidia-uvm", 510, 0), ("/dev/nvidia0", 195, 0))
        (finding,) = self.findings("bundle-device-stale", bundle)
        assert (finding.path, finding.expected, finding.found) == ("/dev/nvidia-uvm", "462:0", "510:0")
        assert self.findings("bundle-device-stale", bundle, without_driver()) == []

    def test_a_directory_in_place_of_a_device(self, tmp_path: Path) -> None:
        bundle = self.bundle(tmp_path, ("/dev/dri", 226, 0), ("/dev/dri/card1", 226, 1))
        assert [finding.path for finding in self.findings("directory-as-device", bundle)] == ["/dev/dri"]

    def test_an_id_that_names_nothing(self, tmp_path: Path) -> None:
        bundle = self.bundle(tmp_path, env=["NVIDIA_VISIBLE_DEVICES=0,9,GPU-00000000-0000-0000-0000-000000000000"])
        assert [finding.path for finding in self.findings("device-id-unknown", bundle)] == [
            "9",
            "GPU-00000000-0000-0000-0000-000000000000",
        ]
        assert (
            self.findings("device-id-unknown", self.bundle(tmp_path / "ok", env=["NVIDIA_VISIBLE_DEVICES=all"])) == []
        )

    def test_an_id_on_a_host_without_gpus(self, tmp_path: Path) -> None:
        """`run` refuses it there. One whose GPUs have no driver, or were not seen, is told of by other codes."""
        bundle = self.bundle(tmp_path, env=["NVIDIA_VISIBLE_DEVICES=0"])
        (finding,) = self.findings("device-id-unknown", bundle, cpu_only())
        assert (finding.path, finding.severity) == ("0", Severity.ERROR)
        with pytest.raises(InputError, match='names "0"'):
            plan(load(bundle), probe_reader(cpu_only(), name="machine", simulated=True))
        assert self.findings("device-id-unknown", bundle, without_driver()) == []
        assert self.findings("device-id-unknown", bundle, Machine()) == []
        assert (
            self.findings(
                "device-id-unknown", self.bundle(tmp_path / "all", env=["NVIDIA_VISIBLE_DEVICES=all"]), cpu_only()
            )
            == []
        )

    def test_an_old_id_of_a_mig_device(self, tmp_path: Path) -> None:
        bundle = self.bundle(tmp_path, env=["NVIDIA_VISIBLE_DEVICES=MIG-GPU-5d0bb1a7-8f2c-4c1e-9a35-1e7720f6c4b1/1/0"])
        assert len(self.findings("mig-id-legacy", bundle)) == 1
        assert (
            self.findings(
                "mig-id-legacy", bundle, before_550().file(f"{DRIVER}/version", "NVRM version: X  460.27.04  x\n")
            )
            == []
        )

    def test_an_old_id_is_told_with_the_uuid_that_the_device_has(self, tmp_path: Path) -> None:
        bundle = self.bundle(tmp_path, env=[f"NVIDIA_VISIBLE_DEVICES=MIG-{self.CUT.upper()}/2/0"])
        (finding,) = self.findings("mig-id-legacy", bundle, partitioned())
        assert finding.expected == f"the UUID of a MIG device: {self.SECOND}"
        assert self.findings("device-id-unknown", bundle, partitioned()) == []
        bundle = self.bundle(tmp_path / "other", env=[f"NVIDIA_VISIBLE_DEVICES=MIG-{self.CUT}/5/0"])
        (finding,) = self.findings("mig-id-legacy", bundle, partitioned())
        assert finding.expected == "the UUID of a MIG device: MIG-<uuid>"

    CUT: Final = "GPU-a84e2c19-d5f3-17b6-20ce-7f9183b4e65a"
    SECOND: Final = "MIG-00000001-d5f3-17b6-20ce-7f9183b4e65a"
    FOREIGN: Final = "MIG-0929581a-2be6-5dec-bf34-0954c6c529a6"

    def asking(self, tmp_path: Path, machine: Machine, value: str) -> set[tuple[str, str, Severity]]:
        """What every check of a bundle's ids finds."""
        bundle = self.bundle(tmp_path, env=[f"NVIDIA_VISIBLE_DEVICES={value}"])
        codes = ("device-id-unknown", "mig-id-legacy", "mig-caps-missing", "mig-changed")
        found = [finding for code in codes for finding in self.findings(code, bundle, machine)]
        return {(finding.code, finding.path, finding.severity) for finding in found}

    def test_the_uuid_of_a_mig_device_is_no_error_where_nvml_tells_it(self, tmp_path: Path) -> None:
        for value in (self.SECOND, self.SECOND.lower(), self.SECOND.upper(), f"3:0,{self.SECOND}"):
            assert self.asking(tmp_path, partitioned(), value) == set()

    def test_one_that_nvml_does_not_tell_is_an_error(self, tmp_path: Path) -> None:
        error = ("device-id-unknown", self.FOREIGN, Severity.ERROR)
        assert self.asking(tmp_path, partitioned(), self.FOREIGN) == {error}
        assert self.asking(tmp_path, partitioned(), self.FOREIGN.lower()) == {(error[0], error[1].lower(), error[2])}
        assert self.asking(tmp_path, hgx_h100(), self.FOREIGN) == {error}

    @pytest.mark.parametrize(
        "document",
        [
            {},
            {"state": "no library", "why": "no driver"},
            {"state": "failed", "why": "nvidia-ml-py, which asks NVML, is not installed: pip install nvidia-ml-py"},
            {"state": "timeout", "why": "no answer in time", "during": "nvmlInitWithFlags"},
            {"state": "answered", "gpus": [{"rank": 3, "address": "00000000:5D:00.0", "mig": [{"rank": 0, "uuid": FOREIGN[:-1] + "0"}]}]},
        ],
    )  # fmt: skip
    def test_where_nvml_could_not_tell_it_is_unknown(self, document: dict[str, object], tmp_path: Path) -> None:
        machine = partitioned().fact("nvml", document)
        unknown = ("device-id-unknown", self.SECOND, Severity.INCONCLUSIVE)
        assert self.asking(tmp_path, machine, f"0,3:1,{self.SECOND}") == {unknown}
        (finding,) = self.findings("device-id-unknown", str(tmp_path / "b"), machine)
        assert finding.why.startswith("NVML alone knows the UUIDs of MIG devices: ")
        assert finding.hint == "nvidia-smi -L"
        # Where there is no MIG device at all, there is none of that name either.
        none = hgx_h100().fact("nvml", document)
        assert {severity for _, _, severity in self.asking(tmp_path / "none", none, self.SECOND)} == {Severity.ERROR}

    def test_a_capability_without_its_node_is_told_of_the_device_that_is_asked_for(self, tmp_path: Path) -> None:
        machine = partitioned().remove("/dev/nvidia-caps/nvidia-cap292")
        missing = ("mig-caps-missing", "/dev/nvidia-caps/nvidia-cap292", Severity.ERROR)
        assert self.asking(tmp_path, machine, self.SECOND) == {missing}

    def test_mig_devices_that_are_gone(self, tmp_path: Path) -> None:
        bundle = self.bundle(
            tmp_path, ("/dev/nvidia-caps/nvidia-cap777", 463, 777), ("/dev/nvidia-caps/nvidia-cap1", 463, 1)
        )
        assert [f.path for f in self.findings("mig-changed", bundle, partitioned())] == [
            "/dev/nvidia-caps/nvidia-cap777"
        ]

    def test_driver_libraries_in_an_image(self, tmp_path: Path) -> None:
        bundle = self.bundle(tmp_path)
        place = Path(bundle, "rootfs", "usr", "lib", "x86_64-linux-gnu")
        place.mkdir(parents=True)
        (place / "libcuda.so.550.54.14").write_bytes(b"\x7fELF")
        (place / "libcuda.so.1").symlink_to("libcuda.so.550.54.14")
        (place / "libnvidia-ml.so.1").touch()
        assert [f.path for f in self.findings("image-has-driver-libraries", bundle)] == [
            "/usr/lib/x86_64-linux-gnu/libcuda.so.550.54.14"
        ]
        (place / "libcuda.so.550.54.14").unlink()
        assert self.findings("image-has-driver-libraries", bundle) == []

    def test_a_link_in_the_image_leads_nowhere_outside(self, tmp_path: Path) -> None:
        bundle = self.bundle(tmp_path)
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "libcuda.so.1").write_text("x")
        Path(bundle, "rootfs", "usr", "lib64").parent.mkdir(parents=True, exist_ok=True)
        os.symlink(outside, Path(bundle, "rootfs", "usr", "lib64"))
        assert self.findings("image-has-driver-libraries", bundle) == []

    def test_a_group_with_another_number_in_the_image(self, tmp_path: Path) -> None:
        machine = hgx_h100().fact("caller", {**USER, "groups": {"render": 109}})
        bundle = self.bundle(tmp_path, user={"uid": 1000, "gid": 1000})
        groups = Path(bundle, "rootfs", "etc", "group")
        groups.parent.mkdir(exist_ok=True)
        groups.write_text("root:x:0:\nrender:x:992:\n")
        found = self.findings("group-id-mismatch", bundle, machine)
        assert [(f.path, f.found) for f in found] == [("render", "gid 992 in the image")]
        groups.write_text("render:x:109:\n")
        assert self.findings("group-id-mismatch", bundle, machine) == []
        groups.unlink()
        os.mkfifo(groups)
        assert self.findings("group-id-mismatch", bundle, machine) == []
