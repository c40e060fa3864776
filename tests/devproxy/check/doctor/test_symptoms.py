"""Messages that people report: each is recognised in the words that programs print, and leads to its code."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from devproxy.bugreport.messages import MESSAGES
from devproxy.bugreport.report import read_text
from devproxy.check.doctor.case import Case
from devproxy.check.doctor.examine import examine
from devproxy.check.doctor.pages import PLACE
from devproxy.check.doctor.symptoms import KNOWN, SYMPTOM_CHECKS
from devproxy.check.finding import Severity

UUID = "932bfb2c-849a-2a22-1e84-9eff6bc02b39"
SAID = {
    'docker: Error response from daemon: could not select device driver "" with capabilities: [[gpu]].': "runtime-not-configured",
    'Error response from daemon: could not select device driver "nvidia" with capabilities: [[gpu]]': "runtime-not-configured",
    "docker: Error response from daemon: Unknown runtime specified nvidia.": "runtime-not-configured",
    "Error response from daemon: unknown or invalid runtime name: nvidia": "runtime-not-configured",
    'Warning  FailedCreatePodSandBox  2s (x9 over 61s)  kubelet  Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime for "nvidia" is configured': "runtime-not-configured",
    r'nov 03 18:00:58 node7 containerd[812]: time="2022-11-03T18:00:58.7+02:00" level=error msg="RunPodSandbox failed, error" error="failed to get sandbox runtime: no runtime for \"nvidia-cdi\" is configured"': "runtime-not-configured",
    "kubelet  Failed to create pod sandbox: rpc error: code = Unknown desc = failed to find runtime handler nvidia from runtime list map[crun:0xc0003a]": "runtime-not-configured",
    "Error: stat nvidia.com/gpu=0: no such file or directory": "runtime-not-configured",
    'docker: Error response from daemon: error gathering device information while adding custom device "nvidia.com/gpu=all": no such file or directory.': "runtime-not-configured",
    'OCI runtime create failed: exec: "nvidia-container-runtime-hook": executable file not found in $PATH: unknown': "runtime-not-configured",
    "Error: setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=all": "cdi-unresolvable",
    "docker: Error response from daemon: CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=0, nvidia.com/gpu=1": "cdi-unresolvable",
    'conflicting device "nvidia.com/gpu=0" (specs "/etc/cdi/a.yaml", "/etc/cdi/b.yaml")': "cdi-device-conflict",
    'CDI device injection failed: failed to inject devices: failed to stat CDI host device "/dev/dri/renderD129": no such file or directory': "cdi-host-path-missing",
    f"nvidia-container-cli: device error: MIG-GPU-{UUID}/1/0: unknown device: unknown": "mig-id-legacy",
    "nvidia-container-cli: device error: 7: unknown device: unknown.": "device-id-unknown",
    'failed to construct device spec generators: identifier is not a valid UUID or index: "gpu9"': "device-id-unknown",
    "nvidia-container-cli: mount error: failed to add device rules: unable to find any existing device filters attached to the cgroup: bpf_prog_query(BPF_CGROUP_DEVICE) failed: operation not permitted: unknown.": "runtime-rootless-legacy",
    "nvidia-container-cli: mount error: open failed: /sys/fs/cgroup/devices/user.slice/devices.allow: permission denied": "runtime-rootless-legacy",
    "nvidia-container-cli: container error: cgroup subsystem devices not found: unknown.": "runtime-bpf-unsupported",
    "nvidia-container-cli: mount error: file creation failed: /var/lib/docker/overlay2/ab/merged/run/nvidia-persistenced/socket: no such device or address": "persistenced-socket-dead",
    "nvidia-container-cli: mount error: file creation failed: /var/lib/docker/overlay2/ab/merged/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1: file exists: unknown.": "image-has-driver-libraries",
    "RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized": "fabric-manager-missing",
    "[[ System not yet initialized (error 802) ]]": "fabric-manager-missing",
    "ERROR: CUDA failed to initialize. [[ System has unsupported display driver / cuda driver combination (error 803) ]]": "driver-library-mismatch",
    "[[ Forward compatibility was attempted on non supported HW (error 804) ]]": "cuda-driver-too-old",
    "[[ No CUDA-capable device is detected (error 100) ]]": "cuda-no-device",
    "ERROR: CUDA failed to initialize. [[ Unknown error (error 999) ]]": "cuda-unknown-error",
    "WARNING: The NVIDIA Driver was not detected.  GPU functionality will not be available.": "driver-libraries-missing",
    'OCI runtime create failed: runc create failed: unable to start container process: exec: "nvidia-smi": executable file not found in $PATH: unknown': "driver-libraries-missing",
    "E0402 22:17:31.198643       1 factory.go:112] Incompatible strategy detected auto": "driver-libraries-missing",
    "2023/09/29 12:27:37 Incompatible platform detected": "driver-libraries-missing",
    "RuntimeError: No CUDA GPUs are available": "cuda-no-device",
    "nvidia-container-cli: initialization error: WSL environment detected but no adapters were found: unknown": "wsl-no-adapter",
    "torch.cuda.is_available(): Error 803: system has unsupported display driver / cuda driver combination": "driver-library-mismatch",
    "Failed to initialize NVML: Driver/library version mismatch": "driver-library-mismatch",
    "nvidia-container-cli: initialization error: nvml error: driver/library version mismatch": "driver-library-mismatch",
    "nvidia-container-cli: detection error: missing required device major nvidia-frontend": "toolkit-too-old",
    "CUDA driver version is insufficient for CUDA runtime version": "cuda-driver-too-old",
    "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.4, please update your driver to a newer version": "cuda-driver-too-old",
    "modprobe: FATAL: Module nvidia not found in directory /lib/modules/6.8.0-60-generic": "driver-not-loaded",
    "modprobe: ERROR: could not insert 'nvidia': Key was rejected by service": "driver-not-loaded",
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed and running.": "driver-not-loaded",
    "nvidia-container-cli: initialization error: load library failed: libnvidia-ml.so.1: cannot open shared object file: no such file or directory": "driver-libraries-missing",
    "[ 100.2] NVRM: GPU 0000:3b:00.0: GPU has fallen off the bus.": "device-lost",
    "Pod Allocate failed due to device plugin GetPreferredAllocation rpc failed with err: rpc error: code = Unknown desc = error creating nvml.Device 5: nvml: GPU is lost, which is unexpected": "device-lost",
    "cuInit(0) returned 999: CUDA_ERROR_UNKNOWN": "cuda-unknown-error",
    "RuntimeError: CUDA unknown error - this may be due to an incorrectly set up environment": "cuda-unknown-error",
    "torch._C._cuda_init() RuntimeError: No CUDA GPUs: no CUDA-capable device is detected": "cuda-no-device",
    "No devices were found": "nvml-no-devices",
    "Couldn't open device: /dev/accel0 (Operation not permitted)": "open-denied-by-cgroup",
    "F0000 Couldn't open device: /dev/accel0 (Permission denied)": "open-denied-by-mode",
    "Failed to open /dev/vfio/0: Device or resource busy": "device-busy",
    "open /dev/nvidia-uvm: no such device or address": "uvm-not-loaded",
    "could not open /dev/nvidia-uvm: No such device or address": "open-no-driver",
    'openat(AT_FDCWD, "/dev/nvidia-uvm", O_RDWR|O_CLOEXEC) = -1 EACCES (Permission denied)': "open-denied-by-mode",
    "The TPU is already in use by process with pid 4711. Not attempting to load libtpu.so in this process.": "device-busy",
    "libtpu.so already in use by another process probably owned by another user.": "device-busy",
    "Internal error when accessing libtpu multi-process lockfile. Run \"$ sudo rm /tmp/libtpu_lockfile\".": "tpu-lockfile-stale",
    "RuntimeError: Unable to initialize backend 'tpu': UNAVAILABLE: Failed to get global TPU topology.": "tpu-unavailable",
    "RuntimeError: Bad StatusOr access: UNKNOWN: TPU initialization failed: Failed to connect to [::]:8353": "tpu-unavailable",
    "vfio 0000:3b:00.0: group 42 is not viable": "vfio-group-not-viable",
    "Unable to open /dev/kfd read-write: Permission denied": "open-denied-by-mode",
    "NCCL WARN Call to posix_fallocate failed: No space left on device (shm)": "shm-too-small",
    "box:27:31 [6] misc/shmutils.cc:71 NCCL WARN Error: failed to extend /dev/shm/nccl-fjwOOB to 5967876 bytes": "shm-too-small",
    'type=AVC msg=audit(1684.1:2): avc:  denied  { read write } for  pid=1 comm="nvidia-smi" name="nvidia0" dev="devtmpfs" ino=5 scontext=system_u:system_r:container_t:s0:c1,c2 tcontext=system_u:object_r:xserver_misc_device_t:s0 tclass=chr_file permissive=0': "selinux-denies-device",
}  # fmt: skip


def codes_of(text: str) -> set[str]:
    report = examine(Case(read_text(text).host), judge_what_is_there=True)
    return {finding.code for finding in report.findings if finding.severity in (Severity.ERROR, Severity.WARNING)}


@pytest.mark.parametrize("message", SAID)
@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "> {}",
        "$ docker run --rm --gpus all x nvidia-smi\n{}",
        "2024-02-17T13:47:09.1Z {}",
        "- {}",
        "```\n{}\n```",
    ],
)
def test_a_message_leads_to_its_code(message: str, around: str) -> None:
    found = codes_of(around.format(message))
    assert SAID[message] in found


@pytest.mark.parametrize("message", SAID)
@pytest.mark.parametrize(
    "around", ["I no longer get {}", "This is unlike #12, where the error was: {}", "After the update this is fixed: {}", "## Expected behavior\nnot to see\n{}"]
)  # fmt: skip
def test_a_message_that_is_not_seen_says_nothing(message: str, around: str) -> None:
    assert not codes_of(around.format(message)) & {
        "driver-library-mismatch",
        "cuda-unknown-error",
        "cdi-unresolvable",
        "runtime-not-configured",
    }


def coloured(text: str) -> str:
    return f"\x1b[1;31m{text[:7]}\x1b[0m{text[7:]}"


def cut(text: str) -> str:
    """As a terminal's width, or a tracker's limit, leaves it: with what followed lost."""
    return f"{text} (see the att"


@pytest.mark.property
@given(
    st.sampled_from(sorted(SAID)),
    st.sampled_from(
        (
            "", "> ", "> > ", "2026-02-17T13:47:09.123456789Z stderr F ", "2026-02-17 13:47:09,123 ", "trainer-1  | ",
            "[pod/trainer-0/main] ", "Feb 17 13:47:09 node7 kubelet[812]: ", "E0217 13:47:09.123456       1 main.go:77] ",
        )
    ),
    st.sampled_from((str, coloured, cut, html.escape)),
    st.sampled_from(("\n", "\r\n")),
    st.text("\0\x07\x08\u200b\ufeff", max_size=3),
)  # fmt: skip
def test_how_a_message_came_here_changes_nothing(
    message: str, before: str, made: Callable[[str], str], end: str, noise: str
) -> None:
    """Stamps of journals, kubelet, CRI, compose and klog, quotes, colours, HTML, Windows's ends of lines, control characters."""
    assume("avc:" not in message)  # the kernel's own line, which no other program's prefix precedes
    assume(not (made is cut and message == "No devices were found"))  # that is the whole line, or none
    lines = ("Hello,", f"{before}{noise}{made(message)}", "Thanks!", "")
    assert SAID[message] in codes_of(end.join(lines))


@pytest.mark.parametrize("message", SAID)
def test_a_message_that_was_cut_short_says_nothing_else(message: str) -> None:
    whole = codes_of(message)
    assert set().union(*(codes_of(message[:length]) for length in range(len(message)))) <= whole


def test_what_worked_previously_fails_now() -> None:
    busy = "open(/dev/vfio/0): Device or resource busy"
    assert codes_of(f"Jobs that previously worked have been failing with {busy}\n") == {"device-busy"}
    assert codes_of(f"Previously I saw {busy}\n") == set()


def test_what_nvidia_smi_says_later_counts() -> None:
    failed = "Failed to initialize NVML: Driver/library version mismatch\n"
    works = "| NVIDIA-SMI 550.163.01    Driver Version: 550.163.01    CUDA Version: 12.4     |\n"
    assert codes_of(f"$ nvidia-smi\n{failed}$ nvidia-smi\n{works}") == set()
    assert "driver-library-mismatch" in codes_of(f"$ nvidia-smi\n{works}$ nvidia-smi\n{failed}")
    assert "nvml-error" in codes_of(
        f"$ docker exec x nvidia-smi\nFailed to initialize NVML: Unknown Error\n$ nvidia-smi\n{works}"
    )


def test_every_name_is_of_a_message_and_every_own_code_has_a_page() -> None:
    names = {name for name, _ in MESSAGES}
    assert KNOWN.keys() <= names | {"selinux-denial", "smi-none"}
    openings = {"open-denied-cgroup", "open-denied-mode", "open-busy", "open-nothing", "open-invalid", "open-no-memory"}
    assert names - KNOWN.keys() == openings
    pages = Path(PLACE)
    assert all((pages / f"{check.code}.md").exists() for check in SYMPTOM_CHECKS)
