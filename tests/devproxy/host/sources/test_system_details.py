"""The sources of system details: made-up machines, documents that anybody may have written, replay equal to live."""

from __future__ import annotations

import errno
import os
import subprocess
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.host.details import SystemDetails
from devproxy.host.facts import Host
from devproxy.host.probe import probe, probe_reader
from devproxy.host.recorded import RecordedReader, Recorder
from devproxy.host.recording_file import decode, encode
from devproxy.host.root import LiveReader
from devproxy.host.sources.cgroups import own_group, parse_rules
from devproxy.host.system_facts import (
    CdiFile,
    CgroupRules,
    Cgroups,
    Container,
    FileSystemSize,
    Firmware,
    KernelModule,
    Library,
    Request,
    Selinux,
    ServiceSocket,
)
from tests.hosts.machine import Machine
from tests.hosts.make import hgx_h100
from tests.hosts.system_facts import with_system_facts

LIB: Final = "/usr/lib/x86_64-linux-gnu"
FACTS: Final = (
    "sockets", "kernel_log", "caller", "file_systems", "environment", "runtimes", "selinux_labels", "command_line",
    "shared_memory", "clock",
)  # fmt: skip


def deep(machine: Machine) -> Host:
    return probe_reader(machine, name="machine", simulated=True, deep=True)


def system(machine: Machine) -> SystemDetails:
    return of(deep(machine))


def of(host: Host) -> SystemDetails:
    assert host.details is not None
    return host.details.system


def notes(host: Host) -> dict[str, str]:
    return {unseen.path: unseen.why for unseen in host.unseen}


# modules

MODULES: Final = """\
nvidia_uvm 4087808 4 - Live 0x0000000000000000 (O)
nvidia 104071168 16 nvidia_uvm,nvidia_modeset, Live 0xffffffffc0a00000 (O)
nvidia_fs 274432 - - Loading 0x0000000000000000
ext4 1105920 2 - Live 0x0000000000000000
not a line
"""


def test_modules_of_accelerators_with_their_versions() -> None:
    machine = Machine().file("/proc/modules", MODULES).file("/sys/module/nvidia/version", "550.163.01\n")
    machine.directory("/sys/module/kvm").directory("/sys/module/ext4")
    assert system(machine).modules == (
        KernelModule("kvm", "", None, "builtin", "/sys/module/kvm"),
        KernelModule("nvidia", "550.163.01", 16, "live", "/proc/modules", ("nvidia_uvm", "nvidia_modeset")),
        KernelModule("nvidia_fs", "", None, "coming", "/proc/modules"),
        KernelModule("nvidia_uvm", "", 4, "live", "/proc/modules"),
    )


def test_modules_that_cannot_be_seen_are_unknown_and_none_at_all_are_none() -> None:
    host = deep(Machine().refuse("/proc/modules"))
    assert of(host).modules is None
    assert notes(host)["/proc/modules"].startswith("EACCES")
    assert system(Machine()).modules == ()


# libraries and firmware


def test_libraries_by_the_version_in_their_names_and_which_one_programs_load() -> None:
    machine = hgx_h100()
    for name in (
        "libcuda.so.550.163.01",
        "libcuda.so.535.183.01",
        "libnvidia-ml.so.550.163.01",
        "libc.so.6",
        "libcuda.so",
    ):
        machine.file(f"{LIB}/{name}", "")
    machine.link(f"{LIB}/libcuda.so.1", "libcuda.so.550.163.01")
    assert system(machine).libraries == (
        Library("libcuda", "535.183.01", f"{LIB}/libcuda.so.535.183.01"),
        Library("libcuda", "550.163.01", f"{LIB}/libcuda.so.550.163.01", current=True),
        Library("libnvidia-ml", "550.163.01", f"{LIB}/libnvidia-ml.so.550.163.01"),
    )


def test_libraries_are_looked_for_where_there_may_be_some() -> None:
    assert system(Machine().file(f"{LIB}/libcuda.so.550.163.01", "")).libraries == ()
    wsl = Machine().node("/dev/dxg", (10, 60)).file("/usr/lib/wsl/lib/libcuda.so.1.1", "")
    assert [library.path for library in system(wsl).libraries] == ["/usr/lib/wsl/lib/libcuda.so.1.1"]


def test_libtpu_has_the_version_of_its_package() -> None:
    from tests.hosts.make import tpu_v4

    package = "/usr/local/lib/python3.10/dist-packages/libtpu-0.0.17.dist-info"
    assert system(tpu_v4().directory(package)).libraries == (Library("libtpu", "0.0.17", package),)


def test_firmware_is_looked_for_where_the_kernel_does() -> None:
    own = "/run/nvidia/driver/lib/firmware"
    machine = hgx_h100().file("/sys/module/firmware_class/parameters/path", f"{own}\n")
    machine.file(f"{own}/nvidia/550.163.01/gsp_ga10x.bin", "").file("/lib/firmware/nvidia/ad102/gsp/x.bin", "")
    machine.file("/lib/firmware/nvidia/535.183.01/gsp_tu10x.bin", "")
    assert system(machine).firmware == (
        Firmware("535.183.01", "/lib/firmware/nvidia/535.183.01/gsp_tu10x.bin"),
        Firmware("550.163.01", f"{own}/nvidia/550.163.01/gsp_ga10x.bin"),
    )


# services, the log, who calls


def test_sockets_as_the_document_has_them() -> None:
    found = {
        "listening": False,
        "path": "/run/nvidia-persistenced/socket",
        "service": "nvidia-persistenced",
        "why": "ECONNREFUSED",
    }
    host = deep(Machine().fact("sockets", {"sockets": [found, {**found, "listening": 1}, 7]}))
    assert of(host).sockets == (ServiceSocket(str(found["service"]), str(found["path"]), False, "ECONNREFUSED"),)
    assert "facts/sockets.json" in notes(host)
    assert system(Machine()).sockets is None


def test_a_log_that_may_not_be_read_is_unknown_and_an_empty_one_is_not() -> None:
    class Refusing(Machine):
        def read_fact(self, name: str) -> bytes:
            if name == "kernel_log":
                raise PermissionError(errno.EPERM, "Operation not permitted")
            return super().read_fact(name)

    host = deep(Refusing())
    assert of(host).log is None
    assert notes(host)["facts/kernel_log.json"].startswith("EPERM")
    assert system(Machine().fact("kernel_log", {"left_out": 0, "lines": []})).log == ()


def test_older_lines_that_were_left_out_are_noted() -> None:
    host = deep(Machine().fact("kernel_log", {"left_out": 7, "lines": ["[ 1.0] NVRM: x"]}))
    assert [event.text for event in of(host).log or ()] == ["NVRM: x"]
    assert "7 older lines" in notes(host)["facts/kernel_log.json"]
    cut = deep(Machine().fact("kernel_log", {"complete": False, "left_out": 0, "lines": []}))
    assert "newest lines are missing" in notes(cut)["facts/kernel_log.json"]


def test_what_engines_configure_leads_to_specs_and_to_who_manages_groups() -> None:
    settings = {"cdi_spec_dirs": "/etc/cdi,/opt/cdi/,/run/cdi,../x", "runtimes.runc.SystemdCgroup": "true"}
    configuration = {"name": "containerd", "path": "/etc/containerd/config.toml", "settings": settings, "why": ""}
    program = {"drivers": [], "name": "containerd", "path": "/usr/bin/containerd", "version": "1.7.27", "why": ""}
    machine = Machine().fact("runtimes", {"configurations": [configuration], "programs": [program]})
    machine.file("/opt/cdi/a.yaml", "kind: a/b\n", 0o600).file("/etc/cdi/b.json", "{}").file("/etc/cdi/c.yml", "")
    machine.refuse("/var/run/cdi/d.yaml").file("/sys/fs/cgroup/cgroup.controllers", "cpu\n")
    found = system(machine)
    assert found.cgroups == Cgroups("v2", "systemd", source="/sys/fs/cgroup/cgroup.controllers")
    assert [(runtime.name, runtime.version, runtime.source) for runtime in found.runtimes] == [
        ("containerd", "1.7.27", "/etc/containerd/config.toml")
    ]
    first, second, third = found.cdi
    assert first == CdiFile("/etc/cdi/b.json", "{}", 0o444, 0, 0, 0)
    assert (second.path, second.text, second.priority) == ("/var/run/cdi/d.yaml", "", 1)
    assert second.why.startswith("EACCES")
    assert third == CdiFile("/opt/cdi/a.yaml", "kind: a/b\n", 0o600, 0, 0, 2)


def test_programs_and_files_that_did_not_answer_are_noted() -> None:
    program = {"drivers": [], "name": "podman", "path": "/usr/bin/podman", "version": "", "why": "no answer in time"}
    broken = {"name": "docker", "path": "/etc/docker/daemon.json", "settings": {}, "why": "not understood: x"}
    told = notes(deep(Machine().fact("runtimes", {"configurations": [broken], "programs": [program]})))
    assert "no answer in time" in told["/usr/bin/podman"]
    assert "not understood" in told["/etc/docker/daemon.json"]


# control groups

BEFORE: Final = "c 136:* rwm\nc 5:2 rwm\nc *:* m\nb *:* m\nc 195:255 rw\nc 508:0 rw\nc 195:7 rw\n"


def test_groups_of_version_1_with_the_rules_that_can_be_read() -> None:
    container = "f" * 64
    machine = Machine().file("/sys/fs/cgroup/devices/docker/" + container + "/devices.list", BEFORE)
    machine.file("/proc/self/cgroup", "11:devices:/user.slice\n1:name=systemd:/x\n")
    machine.file("/sys/fs/cgroup/devices/devices.list", "a *:* rwm\n").directory("/sys/fs/cgroup/devices/docker/other")
    found = system(machine).cgroups
    assert found is not None
    assert (found.mode, found.source) == ("v1", "/sys/fs/cgroup/devices")
    own, docker = found.rules
    assert own == CgroupRules("self", (("a", "*", "*", "rwm"),), "/sys/fs/cgroup/devices/devices.list")
    assert docker.group == container
    assert ("c", "195", "255", "rw") in docker.rules
    machine.file("/sys/fs/cgroup/unified/cgroup.controllers", "")
    again = system(machine).cgroups
    assert again is not None
    assert again.mode == "hybrid"


@pytest.mark.property
@given(st.text(max_size=200))
def test_every_text_is_a_list_of_rules_and_names_no_group_outside(text: str) -> None:
    for kind, major, minor, access in parse_rules(text):
        assert kind in "abc"
        assert all(number == "*" or number.isdigit() for number in (major, minor))
        assert set(access) <= set("rwm")
    assert ".." not in own_group(f"3:devices:/{text}").split("/")


@pytest.mark.programs
@pytest.mark.skipif(not os.path.isdir("/sys/fs/cgroup"), reason="no control groups here")
def test_the_version_is_what_the_file_system_says() -> None:
    kind = subprocess.run(["stat", "-fc", "%T", "/sys/fs/cgroup"], capture_output=True, text=True, check=True).stdout
    found = of(probe(deep=True)).cgroups
    assert (found is not None and found.mode == "v2") == (kind.strip() == "cgroup2fs")


@pytest.mark.programs
@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="/dev/shm is no mount here")
def test_the_size_is_what_df_says() -> None:
    told = subprocess.run(["df", "-B1", "--output=size", "/dev/shm"], capture_output=True, text=True, check=True).stdout
    (found,) = of(probe(deep=True)).file_systems or ()
    assert isinstance(found, FileSystemSize)
    assert found.size == int(told.split()[-1])


# SELinux, containers, the environment


def test_selinux_where_there_is_one() -> None:
    assert system(Machine()).selinux is None
    machine = (
        Machine().file("/sys/fs/selinux/enforce", "1").file("/sys/fs/selinux/booleans/container_use_devices", "0 0")
    )
    machine.fact("selinux_labels", {"labels": [{"label": "a:b:c:s0", "path": "/dev/nvidia0"}, {"label": 3}]})
    host = deep(machine)
    assert of(host).selinux == Selinux(True, (("/dev/nvidia0", "a:b:c:s0"),), (("container_use_devices", False),))
    assert "facts/selinux_labels.json" in notes(host)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("12:devices:/docker/0123\n", "docker"), ("0::/system.slice/docker-0123.scope\n", "docker"),
        ("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-1.scope\n", "kubernetes"),
        ("0::/machine.slice/libpod-12.scope/container\n", "podman"), ("2:cpu:/lxc/web\n", "lxc"),
        ("0::/init.scope\n", ""), ("0::/\n", ""), ("0::/system.slice/docker.service\n", ""),
    ],
)  # fmt: skip
def test_the_group_of_process_1_tells_a_container(text: str, kind: str) -> None:
    found = system(Machine().file("/proc/1/cgroup", text)).containers
    assert [each.kind for each in found] == ([kind] if kind else [])


def test_other_signs_of_a_container() -> None:
    machine = Machine().file("/run/.containerenv", "").file("/run/systemd/container", "lxc\n")
    machine.fact("environment", {"variables": {"KUBERNETES_SERVICE_HOST": "set", "NVIDIA_VISIBLE_DEVICES": "0,1"}})
    found = system(machine)
    assert [each.kind for each in found.containers] == ["podman", "lxc", "kubernetes"]
    assert found.requests == (Request("NVIDIA_VISIBLE_DEVICES", "0,1", "facts/environment.json"),)
    wsl = Machine().fact("uname", {"release": "5.15.167.4-microsoft-standard-WSL2"})
    told = Container("wsl", "the kernel is 5.15.167.4-microsoft-standard-WSL2", "facts/uname.json")
    assert system(wsl).containers == (told,)


# whatever the documents and files say

ANYTHING: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
KEYS: Final = (
    "sockets", "lines", "left_out", "uid", "gid", "gids", "groups", "capabilities", "user_namespace", "file_systems",
    "variables", "programs", "configurations", "labels", "parameters",
    "sequences", "span", "entries", "segments", "mps", "boot", "realtime", "monotonic", "boottime",
)  # fmt: skip
DOCUMENTS: Final = st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=6) | ANYTHING
PATHS: Final = (
    "/proc/modules", "/sys/module/nvidia/version", "/sys/fs/selinux/enforce", "/proc/self/cgroup", "/proc/1/cgroup",
    "/sys/fs/cgroup/devices/devices.list", "/etc/cdi/a.yaml", "/sys/module/firmware_class/parameters/path",
    "/run/systemd/container",
)  # fmt: skip


@pytest.mark.property
@given(
    st.dictionaries(st.sampled_from(FACTS), DOCUMENTS), st.dictionaries(st.sampled_from(PATHS), st.binary(max_size=80))
)
def test_no_document_and_no_file_makes_the_probe_stumble(documents: dict[str, Any], files: dict[str, bytes]) -> None:
    machine = with_system_facts(hgx_h100())
    for name, document in documents.items():
        machine.fact(name, document)
    for path, data in files.items():
        machine.file(path, data)
    recorder = Recorder(machine)
    host = probe_reader(recorder, name="machine", simulated=True, deep=True)
    again = probe_reader(RecordedReader(recorder.recording()), name="machine", simulated=True, deep=True)
    assert again == host


@pytest.mark.property
@given(st.sampled_from(FACTS), DOCUMENTS)
def test_what_is_not_understood_is_noted(name: str, document: object) -> None:
    """A document of another form gives no fact, or is told of."""
    host = deep(Machine().fact(name, document).file("/sys/fs/selinux/enforce", "1"))
    if not isinstance(document, dict):
        assert notes(host)[f"facts/{name}.json"] == "no JSON object"


# the machine that this is


@pytest.mark.programs
def test_replay_tells_what_was_told_live() -> None:
    with LiveReader("/") as reader:
        recorder = Recorder(reader)
        live = probe_reader(recorder, name="machine", simulated=False, deep=True)
    data = encode(recorder.recording(), recorded_at=0, tool="test")
    assert len(data) < 500_000
    replayed = probe_reader(RecordedReader(decode(data)), name="machine", simulated=False, deep=True)
    assert of(replayed) == of(live)
    assert replayed.unseen == live.unseen


def test_an_8_gpu_recording_stays_small() -> None:
    from tests.hosts.make import recording_of

    assert len(recording_of(hgx_h100())) < 500_000


def test_nothing_is_taken_for_absent_when_all_of_sys_and_proc_is_shut() -> None:
    machine = Machine()
    for path in ("/proc/modules", "/sys/module", "/sys/fs/selinux/enforce", "/proc/1/cgroup", "/etc/cdi"):
        machine.refuse(path)
    host = deep(machine)
    assert {"/proc/modules", "/proc/1/cgroup", "/sys/fs/selinux/enforce"} <= notes(host).keys()
    assert of(host).modules is None
    assert not host.knows("/etc/cdi/nvidia.yaml")
