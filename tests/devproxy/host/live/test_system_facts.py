"""What is gathered live around the devices: with real sockets, files and programs, and as an ordinary user."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

import devproxy.host.live.runtimes
from devproxy.host.kernel_messages import concerns_accelerators, may_concern_accelerators, parse_log_line
from devproxy.host.live.caller import capabilities, groups_in
from devproxy.host.live.command_line import reduced
from devproxy.host.live.engine_settings import settings_in
from devproxy.host.live.environment import allowed
from devproxy.host.live.kernel_log import last_lines
from devproxy.host.live.runtimes import ask_programs, drivers_in
from devproxy.host.live.sockets import look_at
from devproxy.host.live_facts import read_live_fact
from devproxy.json_text import loads
from tests.unprivileged import as_user

# sockets


def test_sockets_that_listen_and_those_that_do_not(tmp_path: Path) -> None:
    live, dead, plain, gone = (str(tmp_path / name) for name in ("live", "dead", "plain", "gone"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(live)
        listener.listen(1)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(dead)
        Path(plain).write_text("")
        found: list[Any] = look_at((("a", live), ("b", dead), ("c", plain), ("d", gone)))
    assert [(each["service"], each["listening"], each["why"]) for each in found] == [
        ("a", True, ""), ("b", False, "ECONNREFUSED"), ("c", False, "no socket"),
    ]  # fmt: skip


def test_a_socket_whose_queue_is_full_listens_and_nobody_waits(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    waiting = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        for _ in range(3):
            waiting.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
            waiting[-1].connect_ex(path)
        found: list[Any] = look_at((("full", path),))
        for each in waiting:
            each.close()
    assert found[0]["listening"] is True


@pytest.mark.programs
def test_a_socket_that_may_not_be_reached_is_neither() -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        address = "/dev/shm/devproxy-test-socket"
        listener.bind(address)
        listener.listen(1)
        os.chmod(address, 0o600)
        try:
            found: list[Any] = as_user(lambda _: look_at((("shut", address),)))
        finally:
            os.unlink(address)
    expected: Any = (True, "") if os.geteuid() else (None, "EACCES")
    assert (found[0]["listening"], found[0]["why"]) == expected


# the kernel's log

RECORDS: Final = (
    b"6,339,5140900,-;NVRM: loading NVIDIA UNIX x86_64 Kernel Module  550.163.01\n SUBSYSTEM=pci\n DEVICE=+pci:0000:18:00.0\n",
    b"3,340,9041100001,c;NVRM: Xid (PCI:0000:3a:00): 79, pid=1\\x0a, GPU has fallen off the bus.\n",
    b"6,341,9041100002,-;EXT4-fs (sda1): mounted\n",
    b"12,342,9041100003,-;NVRM: Xid (PCI:0000:3a:00): 31, forged by a program\n",
    b"no record",
)


def test_records_become_lines_and_only_the_kernels_own_count() -> None:
    assert last_lines(RECORDS) == {
        "left_out": 0,
        "lines": [
            "[    5.140900] NVRM: loading NVIDIA UNIX x86_64 Kernel Module  550.163.01",
            "[ 9041.100001] NVRM: Xid (PCI:0000:3a:00): 79, pid=1 , GPU has fallen off the bus.",
        ],
        "sequences": [339, 340],
    }


@pytest.mark.root
@pytest.mark.skipif(not os.path.exists("/dev/kmsg"), reason="no kernel log here")
def test_the_span_of_the_log_moves_on_with_each_record() -> None:
    """What is written to /dev/kmsg is one record; that of a program is none of the kernel's, whatever it says."""
    before: Any = loads(read_live_fact("kernel_log").decode())
    with open("/dev/kmsg", "wb", buffering=0) as log:
        log.write(b"NVRM: Xid (PCI:0000:3a:00): 79, devproxy's test, by a program\n")
    after: Any = loads(read_live_fact("kernel_log").decode())
    assert before["complete"]
    assert after["complete"]
    assert after["span"][1] > before["span"][1]
    assert after["span"][0] >= before["span"][0]
    assert "devproxy's test" not in str(after)
    assert all(before["span"][0] <= sequence < before["span"][1] for sequence in before["sequences"])


def test_an_empty_log_has_an_empty_span(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kmsg").write_bytes(b"")
    monkeypatch.setattr("devproxy.host.live.kernel_log._KMSG", str(tmp_path / "kmsg"))
    assert loads(read_live_fact("kernel_log").decode()) == {
        "complete": True, "left_out": 0, "lines": [], "sequences": [], "span": [0, 0],
    }  # fmt: skip


def test_a_log_full_of_them_is_cut_to_the_last() -> None:
    records = [b"6,%d,%d,-;NVRM: %s" % (n, n * 1000000, b"x" * 500) for n in range(5000)]
    document: dict[str, Any] = last_lines(records)
    assert len(str(document)) < 64 << 10
    assert document["lines"][-1].startswith("[ 4999.000000]")
    assert document["left_out"] + len(document["lines"]) == 5000


@pytest.mark.property
@given(st.lists(st.binary(max_size=200), max_size=8))
def test_every_record_is_survived(records: list[bytes]) -> None:
    document: dict[str, Any] = last_lines(records)
    assert all(parse_log_line(line) is not None for line in document["lines"])


XID: Final = "NVRM: Xid (PCI:0000:3b:00): 79, pid=4242, GPU has fallen off the bus."


@pytest.mark.parametrize(
    "before",
    [
        "", "[  123.456789] ", "<3>[  123.456789] ", "[Thu Nov  6 12:00:01 2025] ", "Nov 06 12:00:01 gpu-7 kernel: ",
        "2025-11-06T12:00:01.123456+0000 gpu-7 kernel: ", "Nov  6 12:00:01 gpu-7 kernel: [  123.456789] ", "kernel: ",
    ],
)  # fmt: skip
def test_a_line_is_the_same_event_in_every_log(before: str) -> None:
    event = parse_log_line(before + XID)
    assert event is not None
    assert (event.kind, event.number, event.address, event.text) == ("xid", 79, "0000:3b:00.0", XID)
    assert event.seconds == (123.456789 if "123.4" in before else None)


def test_an_sxid_has_its_number_and_its_switch() -> None:
    event = parse_log_line("nvidia-nvswitch3: SXid (PCI:0000:C1:00.0): 10003, Fatal, Host_unhandled_interrupt")
    assert event is not None
    assert (event.kind, event.number, event.address) == ("sxid", 10003, "0000:c1:00.0")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("[ 7386.259769] NVRM: API mismatch: the client has the version 515.48.07, but", "api-mismatch"),
        ("[    3.1] nouveau 0000:01:00.0: NVIDIA GA102", "nouveau"),
        ("[   21.4] nvidia-uvm: Loaded the UVM driver, major device number 510.", "module"),
        ("[   33.1] NVRM: GPU 0000:18:00.0: RmInitAdapter failed! (0x62:0x40:1860)", "init"),
        ("[  900.0] PM: suspend entry (deep)", "suspend"), ("[  990.0] PM: suspend exit", "resume"),
        ("[    0.3] DMAR: IOMMU enabled", "iommu"), ("[    9.9] vfio-pci 0000:00:05.0: enabling device", "iommu"),
        ("[ 1000.0] Out of memory: Killed process 4242 (python3)", "oom"),
        ("[    5.5] apex 0000:03:00.0: Apex performance not throttled", "other"),
        ("[    9.1] nvidia-nvswitch3: SXid (PCI:0000:04:00.0): 22013, Non-fatal, Link 44 Minion Link DLREQ interrupt", "sxid"),
        ("[    9.1] nvidia-nvswitch3: using MSI-X", "other"),
        ("[    5.5] habanalabs hl0: Loading firmware", "other"), ("[    6.1] amdgpu 0000:03:00.0: ring timeout", "other"),
        ("[    1.0] EXT4-fs (sda1): mounted filesystem", ""), ("[    1.0] usb 1-1: new device", ""), ("", ""),
    ],
)  # fmt: skip
def test_kinds_of_lines(line: str, kind: str) -> None:
    event = parse_log_line(line)
    assert ("" if event is None else event.kind) == kind
    assert concerns_accelerators(line) == bool(kind)


@pytest.mark.property
@given(st.text(max_size=300))
def test_every_text_is_a_line(text: str) -> None:
    assert concerns_accelerators(text) == (parse_log_line(text) is not None)
    assert may_concern_accelerators(text.encode()) or not concerns_accelerators(text)


# who calls, and what with


def test_capabilities_by_their_names() -> None:
    assert capabilities(0) == []
    assert capabilities(1 << 21 | 1 << 14 | 1) == ["CAP_CHOWN", "CAP_IPC_LOCK", "CAP_SYS_ADMIN"]
    assert capabilities(1 << 40 | 1 << 41) == ["CAP_CHECKPOINT_RESTORE", "CAP_41"]


def test_groups_that_own_devices() -> None:
    text = "root:x:0:\nvideo:x:44:ann\nrender:x:109:\nrender:x:110:\nvfio:x:many:\nkvm\nvideos:x:9:\n"
    assert groups_in(text) == {"render": 109, "video": 44}


def test_who_calls_is_who_we_are() -> None:
    def child(_: Path) -> Any:
        return [loads(read_live_fact("caller").decode()), os.getuid(), os.getgid()]

    document, uid, gid = as_user(child)
    assert (document["uid"], document["gid"], document["capabilities"]) == (uid, gid, [])
    assert isinstance(document["user_namespace"], bool)


def test_no_secret_is_told() -> None:
    environment = {
        "NVIDIA_VISIBLE_DEVICES": "all", "TPU_VISIBLE_CHIPS": "0,1", "LD_LIBRARY_PATH": "/usr/local/cuda/lib64",
        "KUBERNETES_SERVICE_HOST": "10.0.0.1", "HF_TOKEN": "s", "AWS_SECRET_ACCESS_KEY": "s", "NVIDIA_API_KEY": "s",
        "TPU_TOKEN": "s", "MY_NVIDIA_VISIBLE_DEVICES": "s", "CUDA_SECRET": "s", "NGC_API_KEY": "s",
    }  # fmt: skip
    assert allowed(environment) == {
        "KUBERNETES_SERVICE_HOST": "set", "LD_LIBRARY_PATH": "/usr/local/cuda/lib64", "NVIDIA_VISIBLE_DEVICES": "all",
        "TPU_VISIBLE_CHIPS": "0,1",
    }  # fmt: skip


def test_parameters_of_the_kernel_that_decide_about_devices() -> None:
    text = "BOOT_IMAGE=/vmlinuz root=UUID=secret ro quiet intel_iommu=on iommu=pt nvidia-drm.modeset=1 modprobe.blacklist=nouveau pci=realloc password=x iommufd"
    assert reduced(text) == [
        "intel_iommu=on", "iommu=pt", "nvidia-drm.modeset=1", "modprobe.blacklist=nouveau", "pci=realloc",
    ]  # fmt: skip


# engines

DAEMON: Final = """{"default-runtime": "nvidia", "exec-opts": ["native.cgroupdriver=cgroupfs"], "features": {"cdi": true},
 "runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}, "runsc": {"path": "/usr/bin/runsc"}},
 "log-opts": {"splunk-token": "secret"}, "proxies": {"http-proxy": "http://u:secret@proxy"}}"""
CONTAINERD: Final = """
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  enable_cdi = true
  cdi_spec_dirs = ["/etc/cdi", "/var/run/cdi"]
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "nvidia"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.nvidia.options]
      BinaryName = "/usr/bin/nvidia-container-runtime"
      SystemdCgroup = true
  [plugins."io.containerd.grpc.v1.cri".registry.configs."r".auth]
    password = "secret"
"""
TOOLKIT: Final = """
disable-require = false
[nvidia-container-cli]
environment = []
ldconfig = "@/sbin/ldconfig"
no-cgroups = true
[nvidia-container-runtime]
mode = "auto"
runtimes = ["runc", "crun"]
[nvidia-container-runtime.modes.cdi]
spec-dirs = ["/etc/cdi", "/var/run/cdi"]
"""


def test_settings_of_docker() -> None:
    assert settings_in("docker", DAEMON) == {
        "cgroup-driver": "cgroupfs", "default-runtime": "nvidia", "features.cdi": "true", "runtimes": "nvidia,runsc",
        "runtimes.nvidia.path": "nvidia-container-runtime",
    }  # fmt: skip
    assert settings_in("docker", " ") == {}


@pytest.mark.parametrize("layout", ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"])
def test_settings_of_containerd_in_both_layouts(layout: str) -> None:
    assert settings_in("containerd", CONTAINERD.replace("io.containerd.grpc.v1.cri", layout)) == {
        "cdi_spec_dirs": "/etc/cdi,/var/run/cdi", "default_runtime_name": "nvidia", "enable_cdi": "true",
        "runtimes": "nvidia", "runtimes.nvidia.BinaryName": "/usr/bin/nvidia-container-runtime",
        "runtimes.nvidia.SystemdCgroup": "true",
    }  # fmt: skip


def test_settings_of_the_toolkit_and_of_the_others() -> None:
    found = settings_in("nvidia-container-runtime", TOOLKIT)
    assert found["nvidia-container-cli.no-cgroups"] == "true"
    assert found["nvidia-container-runtime.modes.cdi.spec-dirs"] == "/etc/cdi,/var/run/cdi"
    podman = '[engine]\ncgroup_manager = "systemd"\n[engine.runtimes]\ncrun = ["/usr/bin/crun"]\n'
    assert settings_in("podman", podman) == {"cgroup_manager": "systemd", "runtimes": "crun"}
    crio = '[crio.runtime]\ndefault_runtime = "nvidia"\n[crio.runtime.runtimes.nvidia]\nruntime_path = "/x"\n'
    assert settings_in("cri-o", crio) == {"default_runtime": "nvidia", "runtimes": "nvidia"}


@pytest.mark.property
@given(st.sampled_from(("docker", "containerd", "cri-o", "podman", "nvidia-container-runtime")), st.text(max_size=200))
def test_every_text_is_settings_or_is_refused(name: str, text: str) -> None:
    try:
        found = settings_in(name, text)
    except ValueError:
        return
    assert all(value for value in found.values())


def program(directory: Path, name: str, script: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.programs
def test_programs_are_asked_at_the_same_time_and_one_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "podman", "echo podman version 5.4.0")
    program(tmp_path, "crun", "sleep 60")
    program(tmp_path, "docker", "exit 3")
    program(
        tmp_path,
        "runsc",
        '[ "$1" = nvproxy ] && { echo 550.90.07; echo 570.86.15; echo junk; exit 0; }; echo runsc version release-20250101.0',
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(devproxy.host.live.runtimes, "_SECONDS", 5.0)
    found: list[Any] = ask_programs(("podman", "docker", "runsc"))
    told = {each["name"]: (each["version"], each["drivers"], each["why"]) for each in found}
    assert told == {
        "podman": ("5.4.0", [], ""), "docker": ("", [], "code 3"),
        "runsc": ("release-20250101.0", ["550.90.07", "570.86.15"], ""),
    }  # fmt: skip
    monkeypatch.setattr(devproxy.host.live.runtimes, "_SECONDS", 0.1)
    (hung,) = ask_programs(("crun",))
    assert isinstance(hung, dict)
    assert hung["why"] == "no answer in time"


def test_a_runsc_without_nvproxy_supports_nothing() -> None:
    assert drivers_in("Usage: runsc <flags> <subcommand>\n  550.90.07 is no line of its own\n") == []


@pytest.mark.programs
@pytest.mark.parametrize(
    "name", ["sockets", "caller", "file_systems", "environment", "runtimes", "selinux_labels", "command_line"]
)
def test_an_ordinary_user_gathers_them_too(name: str) -> None:
    document: Any = as_user(lambda _: loads(read_live_fact(name).decode()))
    assert isinstance(document, dict)
    assert re.fullmatch(r"[a-z_,]+", ",".join(document))
