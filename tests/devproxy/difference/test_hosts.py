"""Recordings compared: one change gives exactly the difference that names it, and none gives none."""

from __future__ import annotations

import json
import os
from typing import Final

import pytest

from devproxy.difference.comparison import Comparison
from devproxy.difference.hosts import compare_hosts
from devproxy.host.recorded import Recording
from devproxy.host.recording_file import load_recording
from tests.devproxy.difference.changes import Change, both, drop, fact, link, listed, node, probed, put, text
from tests.hosts.make import RECORDINGS

NVML: Final = {
    "state": "answered", "driver": "550.163.01", "cuda": 12040, "device_count": 1,
    "gpus": [{
        "rank": 0, "address": "00000000:18:00.0", "uuid": "GPU-5d0bb1a7-8f2c-4c1e-9a35-1e7720f6c4b1", "minor": 0,
        "serial": "1650522000123", "name": "NVIDIA H100 80GB HBM3", "mig_mode": False, "persistence": True,
        "compute_mode": 0, "power_limit": 700000, "power": 71000, "temperature": 31, "memory_used": 5, "remap_pending": False,
        "remap_failed": False, "ecc": True, "load": 3, "pids": [7], "clock_sm": 345, "ecc_uncorrected": 0,
    }],
}  # fmt: skip
HOLDER: Final = {"name": "python3", "paths": ["/dev/nvidia0"], "pid": 7, "started": 99, "uid": 0}


def _bases() -> dict[str, Recording]:
    found = {os.path.basename(path).removesuffix(".tar"): load_recording(path) for path in RECORDINGS}
    eight = put("/etc/cdi/nvidia.yaml", "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\n")(found["host-8gpu"])
    return found | {"host-8gpu": eight._replace(facts={**eight.facts, "nvml": json.dumps(NVML).encode()})}


BASES: Final = _bases()
GPU5D: Final = "/proc/driver/nvidia/gpus/0000:5d:00.0/information"
LIBRARIES: Final = "/usr/lib/x86_64-linux-gnu"


def gpu(name: str, value: object) -> Change:
    return fact("nvml", lambda document: document["gpus"][0].update({name: value}))


# base, what is changed, what is told
CHANGES: Final[list[tuple[str, Change, list[str]]]] = [
    ("host-8gpu", fact("uname", lambda d: d.update(release="6.8.0-61-generic")), ["kernel 6.8.0-60-generic -> 6.8.0-61-generic"]),
    ("host-8gpu", text("/proc/driver/nvidia/version", "550.163.01", "550.200.02"), ["driver 550.163.01 -> 550.200.02"]),
    ("host-8gpu", text("/proc/devices", "462 nvidia-uvm\n", "509 nvidia-uvm\n"), ["major of nvidia-uvm 462 -> 509"]),
    ("host-8gpu", text("/proc/devices", "462 nvidia-uvm\n", ""), ["driver nvidia-uvm: gone, was major 462"]),
    ("host-8gpu", text("/proc/devices", "231 infini", "230 gdrdrv\n231 infini"), ["driver gdrdrv: new, major 230"]),
    ("host-8gpu", text("/proc/misc", "232 kvm\n", ""), ["misc device kvm: gone, was minor 232"]),
    ("host-8gpu", text("/proc/misc", "229 fuse", "230 fuse"), ["misc device fuse: minor 229 -> 230"]),
    ("host-8gpu", text("/proc/driver/nvidia/params", "ModifyDeviceFiles: 1", "ModifyDeviceFiles: 0"),
     ["NVIDIA parameter ModifyDeviceFiles: value 1 -> 0"]),
    ("host-8gpu", text("/proc/driver/nvidia/params", "RmMsg: \"\"", "RmMsg: \"x\""), ["NVIDIA parameter RmMsg: value"]),
    ("host-8gpu", drop("/sys/bus/pci/devices/0000:5d:00.0", os.path.dirname(GPU5D)),
     ["GPU 3 (0000:5d:00.0): gone, was index 3, minor 2, UUID GPU-a84e2c19",
      *(f"GPU {rank} ({address}): index {rank} -> {rank - 1}" for rank, address in
        [(4, "0000:9a:00.0"), (5, "0000:ab:00.0"), (6, "0000:ba:00.0"), (7, "0000:db:00.0")]),
      "PCI device 0000:5d:00.0: gone, was id 10de:2330, driver nvidia"]),
    ("host-8gpu", text(GPU5D, "GPU-a84e2c19", "GPU-b84e2c19"), ["GPU 3 (0000:5d:00.0): UUID GPU-a84e2c19"]),
    ("host-8gpu", text(GPU5D, "Minor: \t 2", "Minor: \t 9"), ["GPU 3 (0000:5d:00.0): minor 2 -> 9"]),
    ("host-8gpu", text(GPU5D, "H100 80GB HBM3", "H200"), ["GPU 3 (0000:5d:00.0): model NVIDIA H100 80GB HBM3 -> NVIDIA H200"]),
    ("host-8gpu", listed("/proc/driver/nvidia-nvswitch/devices", "0000:08:00.0"), ["NVSwitch 0000:08:00.0: gone"]),
    ("host-8gpu", text("/sys/devices/pci0000:29/0000:29:01.0/0000:29:00.0/uevent", "mlx5_core", "vfio-pci"),
     ["PCI device 0000:29:00.0: driver mlx5_core -> vfio-pci"]),
    ("host-8gpu", text("/sys/devices/pci0000:29/0000:29:01.0/0000:29:00.0/uevent", "15B3:1021", "15B3:1023"),
     ["PCI device 0000:29:00.0: id 15b3:1021 -> 15b3:1023"]),
    ("host-8gpu", node("/dev/nvidia-uvm", (509, 0)), ["node /dev/nvidia-uvm: number c 462:0 -> c 509:0", "link /dev/char/462:0: gone"]),
    ("host-8gpu", node("/dev/nvidia7", mode=0o660), ["node /dev/nvidia7: mode 0666 -> 0660"]),
    ("host-8gpu", node("/dev/dri/renderD128", gid=992), ["node /dev/dri/renderD128: owner 0:109 -> 0:992"]),
    ("host-8gpu", drop("/dev/fuse"), ["node /dev/fuse: gone, was number c 10:229, mode 0666, owner 0:0"]),
    ("host-8gpu", node("/dev/gdrdrv", (230, 0)), ["node /dev/gdrdrv: new, number c 230:0, mode 0666, owner 0:0"]),
    ("host-8gpu", drop("/dev/char/195:0"), ["link /dev/char/195:0: gone, was target /dev/nvidia0"]),
    ("host-8gpu", link("/dev/char/195:0", "../nvidia1"), ["link /dev/char/195:0: target /dev/nvidia0 -> /dev/nvidia1"]),
    ("host-8gpu", fact("limits", lambda d: d.update(RLIMIT_MEMLOCK=[65536, 65536])),
     ["limit RLIMIT_MEMLOCK: soft unlimited -> 65536", "limit RLIMIT_MEMLOCK: hard unlimited -> 65536"]),
    ("host-8gpu", text("/sys/devices/virtual/dmi/id/product_name", "821GE", "821GX"), ["machine: product name"]),
    ("host-8gpu", text("/sys/devices/system/node/node1/cpulist", "32-63", "32-47"), ["NUMA node 1: CPUs 32-63 -> 32-47"]),
    ("host-8gpu", text("/sys/devices/system/node/node1/meminfo", "1056000000", "528000000"), ["NUMA node 1: memory"]),
    ("host-8gpu", text("/sys/module/nvidia/version", "550.163.01", "550.200.02"), ["module nvidia: version 550.163.01 -> 550.200.02"]),
    ("host-8gpu", fact("sockets", lambda d: d["sockets"][1].update(listening=False)),
     ["service nvidia-persistenced /run/nvidia-persistenced/socket: state listening -> dead"]),
    ("host-8gpu", fact("sockets", lambda d: d["sockets"].pop(1)), ["service nvidia-persistenced"]),
    ("host-8gpu", fact("locks", lambda d: d["locks"].append(
        {"held": True, "kind": "file", "mode": 420, "path": "/tmp/libtpu_lockfile", "pid": 5, "uid": 0})),
     ["lock file /tmp/libtpu_lockfile: new, owner 0, held yes"]),
    ("host-8gpu", fact("caller", lambda d: d.update(uid=1000)), ["who probed: user 0:0 -> 1000:0"]),
    ("host-8gpu", text("/etc/cdi/nvidia.yaml", "0.5.0", "0.6.0"), ["CDI spec /etc/cdi/nvidia.yaml: contents"]),
    ("host-8gpu", drop("/etc/cdi/nvidia.yaml"), ["CDI spec /etc/cdi/nvidia.yaml: gone"]),
    ("host-8gpu", put("/etc/cdi/nvidia.yaml", "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\n", 0o600),
     ["CDI spec /etc/cdi/nvidia.yaml: mode 0644 -> 0600"]),
    ("host-8gpu", fact("nvml", lambda d: d.update(driver="550.200.02")), ["NVML: driver 550.163.01 -> 550.200.02"]),
    ("host-8gpu", fact("nvml", lambda d: d.update(errors=[{"call": "nvmlDeviceGetUUID", "code": 15, "name": "GPU_IS_LOST"}])),
     ["NVML: errors none -> nvmlDeviceGetUUID: GPU_IS_LOST"]),
    ("host-8gpu", gpu("serial", "1650522000999"), ["NVML's GPU 0000:18:00.0: serial number 1650522000123 -> 1650522000999"]),
    ("host-8gpu", gpu("mig_mode", True), ["NVML's GPU 0000:18:00.0: MIG mode no -> yes"]),
    ("host-8gpu", gpu("persistence", False), ["NVML's GPU 0000:18:00.0: persistence yes -> no"]),
    ("host-8gpu", gpu("compute_mode", 3), ["NVML's GPU 0000:18:00.0: compute mode default -> exclusive process"]),
    ("host-8gpu", gpu("power_limit", 500000), ["NVML's GPU 0000:18:00.0: power limit 700 W -> 500 W"]),
    ("host-8gpu", gpu("ecc", False), ["NVML's GPU 0000:18:00.0: ECC yes -> no"]),
    ("host-8gpu", gpu("remap_failed", True), ["NVML's GPU 0000:18:00.0: remapping failed no -> yes"]),
    ("mig", drop("/proc/driver/nvidia/capabilities/gpu2/mig/gi2"), ["MIG device 2:1: gone, was GPU instance 2"]),
    ("tpu-v4", text("/sys/devices/pci0000:00/0000:00:05.0/uevent", "1AE0:005E", "1AE0:0056"), [
        "TPU 1 (0000:00:05.0): generation v4 -> ", "PCI device 0000:00:05.0: id 1ae0:005e -> 1ae0:0056"]),
    ("tpu-v5p", text("/sys/devices/pci0000:00/0000:00:04.0/uevent", "DRIVER=vfio-pci\n", ""), [
        "TPU 0 (0000:00:04.0): nodes /dev/vfio/0 -> none", "TPU 0 (0000:00:04.0): problem none -> no driver is bound", "accelerator /dev/vfio/0: new",
        "PCI device 0000:00:04.0: driver vfio-pci -> none"]),
    ("mixed", node("/dev/vfio/96", gid=1000), ["node /dev/vfio/96: owner 0:0 -> 0:1000"]),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_one_change_is_told_as_what_it_is(number: int) -> None:
    base, change, expected = CHANGES[number]
    before, after = probed(BASES[base]), probed(change(BASES[base]))
    found = compare_hosts(before, after)
    told = [line.text for line in found.lines]
    assert len(told) == len(expected), told
    for text_, start in zip(told, expected, strict=True):
        assert text_.startswith(start)
    assert found.exit_code == 3
    assert mirrored(compare_hosts(after, before)) == {line[1:6] for line in found.lines}


def mirrored(comparison: Comparison) -> set[tuple[object, ...]]:
    return {(each.kind, each.subject, each.field, each.after, each.before) for each in comparison.lines}


def test_there_are_enough_changes() -> None:
    assert len(CHANGES) >= 40


@pytest.mark.parametrize("name", BASES)
def test_nothing_differs_from_itself(name: str) -> None:
    host = probed(BASES[name])
    found = compare_hosts(host, host)
    assert (found.lines, found.unseen, found.exit_code) == ((), (), 0)


MOMENTS: Final = [
    gpu("power", 690000), gpu("temperature", 80), gpu("memory_used", 7), gpu("load", 99), gpu("pids", [8, 9]),
    gpu("clock_sm", 1980), gpu("ecc_uncorrected", 1), fact("nvml", lambda d: d.update(seconds=1.9)),
    fact("file_systems", lambda d: d["file_systems"][0].update(free=1)), fact("affinity", lambda d: d.update(cpus=[0])),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(MOMENTS)))
def test_what_changes_every_moment_is_not_told(number: int) -> None:
    before, after = probed(BASES["host-8gpu"]), probed(MOMENTS[number](BASES["host-8gpu"]))
    assert before != after, "it was changed"
    assert compare_hosts(before, after).lines == ()


def test_processes_are_told_last_and_are_no_difference() -> None:
    base = BASES["host-8gpu"]
    held = fact("holders", lambda document: document["holders"].append(HOLDER))
    found = compare_hosts(probed(base), probed(held(base)))
    assert [line.text for line in found.lines] == ["holder 7@99: new, name python3, of /dev/nvidia0"]
    assert (found.same, found.exit_code) == (True, 0)
    also = both(held, text("/proc/driver/nvidia/version", "550.163.01", "550.200.02"))
    assert [line.group for line in compare_hosts(probed(base), probed(also(base))).lines] == ["drivers", "processes"]


def test_what_one_side_could_not_see_is_told_and_makes_it_inconclusive() -> None:
    base = BASES["host-8gpu"]
    files = {path: kept for path, kept in base.files.items() if path != "/proc/misc"}
    blind = base._replace(files=files, unread={**base.unread, "/proc/misc": "EACCES"})
    found = compare_hosts(probed(base), probed(blind))
    assert found.lines == ()
    assert found.unseen == ("/proc/misc (after): EACCES: Permission denied",)
    assert found.exit_code == 4


def test_libraries_of_another_version() -> None:
    base = BASES["host-8gpu"]
    names = [name for name in base.others[LIBRARIES] if name.startswith("libcuda.so.")]
    assert names
    changed = listed(LIBRARIES, names[0], "libcuda.so.550.200.02")(base)
    told = [line.text for line in compare_hosts(probed(base), probed(changed)).lines]
    assert any("libcuda.so.550.200.02: new, version 550.200.02" in line for line in told)
    assert any("libcuda.so.550.163.01: gone" in line for line in told)


@pytest.mark.parametrize("number", range(3))
def test_what_could_not_be_told_is_no_difference(number: int) -> None:
    change = (
        gpu("mig_mode", None),
        fact("sockets", lambda document: document["sockets"][1].update(listening=None)),
        fact("nvml", lambda document: document.update(driver=None)),
    )[number]
    before, after = probed(BASES["host-8gpu"]), probed(change(BASES["host-8gpu"]))
    assert before.details != after.details
    assert compare_hosts(before, after).lines == compare_hosts(after, before).lines == ()
