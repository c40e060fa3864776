"""What messages of other programs say, in bug reports: as much as a message alone justifies, where no check saw the cause.

The messages are recognised by devproxy/bugreport/messages.py. A finding here quotes the message; it gives way to one of the
same code that was made from what the machine itself shows.
"""

from __future__ import annotations

from devproxy.check.doctor.case import Case, Check, seen
from devproxy.check.finding import Evidence, Finding, Severity
from devproxy.host.nvml_facts import NvmlState
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Final


class Known(Record):
    """What a message stands for: the code, what should have been, what the message means, what to type."""

    code: str
    expected: str
    why: str
    hint: str
    severity: Severity = Severity.ERROR
    path: str = ""


_TOOLKIT: Final = "nvidia-ctk runtime configure --runtime=docker && systemctl restart docker"
_REBOOT: Final = (
    "reboot; or, with nothing using the GPUs: rmmod nvidia_drm nvidia_modeset nvidia_uvm nvidia && modprobe nvidia"
)
_GENERATE: Final = "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml && nvidia-ctk cdi list"

# By the message's name. Those about opening a node are facts (`Opening`) and checked as such.
KNOWN: Final[dict[str, Known]] = {
    "no-gpu-driver-in-engine": Known("runtime-not-configured", "an engine that knows GPUs", "the engine asked for a GPU has no toolkit configured", _TOOLKIT, path="docker"),
    "runtime-unknown": Known("runtime-not-configured", "the runtime `nvidia`", "the engine has no runtime of that name", _TOOLKIT, path="docker"),
    "runtime-unknown-kubelet": Known("runtime-not-configured", "the runtime `nvidia`", "the pod's runtime class names a runtime that containerd or CRI-O on that node does not have", "nvidia-ctk runtime configure --runtime=containerd && systemctl restart containerd; k3s, k0s and microk8s read a config.toml of their own", path="containerd"),
    "hook-direct": Known("runtime-not-configured", "the runtime `nvidia`", "on Jetson the engine must start the runtime itself: --gpus calls the hook alone", "docker run --runtime nvidia; " + _TOOLKIT, path="docker"),
    "hook-missing": Known("runtime-not-configured", "the toolkit's programs", "the engine is configured for a toolkit that is not installed where it looks", "apt-get install nvidia-container-toolkit; command -v nvidia-container-runtime-hook", path="nvidia-container-toolkit"),
    "cdi-unsupported": Known("runtime-not-configured", "an engine with CDI", "the engine is too old for CDI, or it is not enabled there", "docker 28 and later have it; before, set \"features\": {\"cdi\": true} in daemon.json; podman has it from 4.1 on", path="engine"),
    "cdi-unresolvable": Known("cdi-unresolvable", "a CDI spec that has the device", "no spec that the engine reads has that name, or two have it", f"nvidia-ctk cdi list; if it is not there: {_GENERATE}", path="CDI"),
    "cdi-conflict": Known("cdi-device-conflict", "each name in one spec", "two specs of one priority have the same device: the engine drops it", "ls -l /etc/cdi /var/run/cdi; remove the older of the two", path="CDI"),
    "cdi-stat": Known("cdi-host-path-missing", "every node of the spec on the host", "the spec names a node that is not there (any more)", _GENERATE, path="CDI"),
    "mig-id-legacy": Known("mig-id-legacy", "the UUID of a MIG device: MIG-<uuid>", "drivers from 470 on have UUIDs of MIG devices, and know the old form no more", "nvidia-smi -L"),
    "device-unknown": Known("device-id-unknown", "an index or a UUID of a device that is there", "no device has that id", "nvidia-smi -L"),
    "cgroup-bpf-denied": Known("runtime-rootless-legacy", "no-cgroups = true, or CDI", "without root nobody may edit a cgroup's device filter", "nvidia-ctk config --set nvidia-container-cli.no-cgroups --in-place; better: use CDI (podman run --device nvidia.com/gpu=all)", path="nvidia-container-cli"),
    "cgroup-v1-denied": Known("runtime-rootless-legacy", "no-cgroups = true, or CDI", "without root nobody may write a cgroup's devices.allow", "nvidia-ctk config --set nvidia-container-cli.no-cgroups --in-place; better: use CDI", path="nvidia-container-cli"),
    "cgroup-unsupported": Known("runtime-bpf-unsupported", "a kernel and a toolkit that can filter devices in cgroup v2", "the toolkit or the kernel is too old for the device filter of cgroup v2", "nvidia-container-cli --version (1.8 and later know cgroup v2); uname -r (5.8 and later)", path="cgroup"),
    "persistenced-socket": Known("persistenced-socket-dead", "no file where the socket is mounted", "the socket's path is dead, or the image has a file there", "systemctl restart nvidia-persistenced; look for /run/nvidia-persistenced in the image", path="/run/nvidia-persistenced/socket"),
    "driver-library-in-image": Known("image-has-driver-libraries", "an image without driver libraries", "the runtime mounts the host's libraries and finds files of the same name in the image", "find / -xdev -name 'lib[nc][vu]*.so.*' in the image; remove the files, build without a driver", path="image"),
    "major-name": Known("toolkit-too-old", "a toolkit that knows driver 550", "the driver calls its major `nvidia` since 550.40; this toolkit looks for `nvidia-frontend`", "install nvidia-container-toolkit 1.14.4 or later", path="nvidia-container-toolkit"),
    "fabric": Known("fabric-manager-missing", "a running fabric manager", "GPUs joined by NVSwitches are not initialised before nvidia-fabricmanager has set the fabric up", "systemctl status nvidia-fabricmanager; its version must be the driver's", path="nvidia-fabricmanager"),
    "fabric-version": Known("fabric-manager-version", "the version of the driver", "fabric manager and driver must be of one version", "install nvidia-fabricmanager of the version that nvidia-smi shows", path="nvidia-fabricmanager"),
    "library-mismatch": Known("driver-library-mismatch", "module and libraries of one version", "the libraries were exchanged under the loaded module", _REBOOT, path="nvidia"),
    "cuda-too-new": Known("cuda-driver-too-old", "a driver that is new enough for the image's CUDA", "the image needs a newer CUDA than the driver has", "nvidia-smi shows the CUDA version of the driver; take an older image or a newer driver", path="nvidia"),
    "nouveau": Known("blocked-by-nouveau", "no other driver on the GPU", "nouveau holds the GPU, so that NVIDIA's module cannot", "echo 'blacklist nouveau' > /etc/modprobe.d/blacklist-nouveau.conf; update-initramfs -u; reboot", path="nouveau"),
    "module-missing": Known("driver-not-loaded", "the module nvidia", "it cannot be loaded: not built for this kernel, or not signed with a key that Secure Boot knows", "dkms status; mokutil --sb-state; dmesg | tail", path="nvidia"),
    "module-flavour": Known("gpu-init-failed", "the flavour of the module that the GPU needs", "GPUs since Blackwell need the open module, those before Turing the other", "modinfo -F license nvidia: Dual MIT/GPL is the open one; install the other", path="nvidia"),
    "module-without-gpu": Known("driver-not-loaded", "the module nvidia, with its GPUs", "the module found no GPU that it may have: another driver holds it (nouveau, vfio-pci), or it knows none of them", "lspci -nnk -d 10de: shows who holds it; dmesg | grep -i nvrm", path="nvidia"),
    "uvm-missing": Known("uvm-not-loaded", "the module nvidia-uvm and its nodes", "CUDA does not work without it, though nvidia-smi does", "modprobe nvidia-uvm && nvidia-modprobe -u -c 0", path="/dev/nvidia-uvm"),
    "driver-communication": Known("driver-not-loaded", "a driver that is loaded", "no NVIDIA module answers", "modprobe nvidia; dmesg | grep -i nvrm; in a container: was it given a GPU?", path="nvidia"),
    "driver-libraries": Known("driver-libraries-missing", "the driver's libraries", "the driver is not installed where the program looks, or the container was given no GPU", "ldconfig -p | grep -E 'libcuda|libnvidia-ml'; docker run --gpus all", path="libnvidia-ml.so.1"),
    "driver-undetected": Known("driver-libraries-missing", "the driver's libraries", "the container sees no driver: mostly it was given no GPU, or NVIDIA_DRIVER_CAPABILITIES leaves utility out", "docker run --gpus all; nvidia-smi on the host", Severity.WARNING, "libcuda.so.1"),
    "wsl-no-adapter": Known("wsl-no-adapter", "an adapter that Windows gives to WSL 2", "Windows shows this WSL no NVIDIA GPU: it has none, its driver is too old for WSL, or this is WSL 1", "nvidia-smi.exe in Windows; wsl --update; wsl -l -v must say 2; then ls -l /dev/dxg", path="/dev/dxg"),
    "gsp-timeout": Known("device-lost", "a GPU whose firmware answers", "the GPU System Processor (GSP) does not answer the driver", "dmesg | grep -iE 'xid|gsp'; nvidia-smi --gpu-reset, or power-cycle the machine", path="GPU"),
    "gpu-lost": Known("device-lost", "a GPU that answers", "the GPU does not answer on the PCI bus any more", "dmesg | grep -i xid; then power-cycle the machine", path="GPU"),
    "cuda-unknown": Known("cuda-unknown-error", "CUDA to start", "mostly the nodes of nvidia-uvm: missing, or of a major that its module has no longer; or a suspend", "ls -l /dev/nvidia-uvm; grep nvidia-uvm /proc/devices: the majors must be the same; rmmod nvidia_uvm; modprobe nvidia_uvm after a suspend", path="CUDA"),
    "cuda-none": Known("cuda-no-device", "a GPU that CUDA sees", "CUDA_VISIBLE_DEVICES hides all, or the container was given none", "nvidia-smi -L in the same place; echo $CUDA_VISIBLE_DEVICES $NVIDIA_VISIBLE_DEVICES", path="CUDA"),
    "smi-none": Known("nvml-no-devices", "a GPU that the driver could start", "the driver is loaded and started no GPU: it failed, or it needs the other flavour of the module", "dmesg | grep -iE 'nvrm|xid'; GPUs since Blackwell need the open module, those before Turing the other", path="NVML"),
    "open-missing": Known("node-missing", "the node to be there", "what was opened is not there", "ls -l the path on the host; nvidia-modprobe -u -c 0"),
    "tpu-lockfile": Known("tpu-lockfile-stale", "no lock file of another user", "libtpu cannot use the lock file that somebody left", "sudo rm /tmp/libtpu_lockfile", path="libtpu_lockfile"),
    "tpu-busy": Known("device-busy", "a TPU that nobody holds", "another process has the TPU, or left its lock file", "sudo lsof -w /dev/accel* /dev/vfio/*; if nobody has it: sudo rm /tmp/libtpu_lockfile", path="TPU"),
    "tpu-topology": Known("tpu-unavailable", "TPU chips with a driver and nodes", "libtpu found no chip that it can use", "lspci -d 1ae0: -k; ls -l /dev/accel* /dev/vfio", path="TPU"),
    "tpu-service": Known("tpu-unavailable", "an answer from the TPU VM's own service", "libtpu asks a service of the TPU VM, which a container with a network of its own does not reach", "docker run --network host", path="TPU"),
    "vfio-viable": Known("vfio-group-not-viable", "every device of the group bound to vfio-pci", "another driver holds a device of the group", "ls /sys/kernel/iommu_groups/N/devices; lspci -nnk"),
    "vfio-control": Known("vfio-control-mode", "to open", "whoever cannot open the control node can use no group", "chmod 0666 /dev/vfio/vfio", path="/dev/vfio/vfio"),
    "iommu": Known("iommu-off", "an IOMMU", "vfio gives a device to nobody without one", "intel_iommu=on or amd_iommu=on, and VT-d or AMD-Vi in the firmware's settings", path="IOMMU"),
    "kfd-denied": Known("open-denied-by-mode", "to open", "the user is not in the group that owns the node", "usermod -aG render,video USER, and a new login; in a container: --group-add with the host's number", path="/dev/kfd"),
    "shm": Known("shm-too-small", "room in shared memory", "a container has 64 MiB of it unless told otherwise", "docker run --shm-size=8g, or --ipc=host", path="/dev/shm"),
    "memlock": Known("memlock-too-low", "RLIMIT_MEMLOCK that suffices", "the accelerator's memory is locked, and the limit is too low", "docker run --ulimit memlock=-1", Severity.WARNING, "RLIMIT_MEMLOCK"),
    "selinux-denial": Known("selinux-denies-device", "SELinux to allow the device", "the policy has no rule that lets containers use a node with this label", "setsebool -P container_use_devices on (or container_use_xserver_devices)"),
}  # fmt: skip


def said(case: Case) -> Iterator[Finding]:
    """A finding for each message that is known, and for what NVML and the kernel's log say in so many words."""
    for symptom in case.details.system.symptoms:
        known = KNOWN.get(symptom.name)
        if known is None:
            continue
        path = symptom.subject or known.path or "report"
        yield _finding(known, path, symptom.text, seen(symptom.source, symptom.text))
    yield from _nvml(case)


def _nvml(case: Case) -> Iterator[Finding]:
    nvml = case.details.nvml
    names = {error.name: error for error in nvml.errors} if nvml.state is NvmlState.FAILED else {}
    for name, key in (
        ("LIB_RM_VERSION_MISMATCH", "library-mismatch"),
        ("DRIVER_NOT_LOADED", "driver-communication"),
        ("GPU_IS_LOST", "gpu-lost"),
    ):
        if name in names:
            error = names[name]
            yield _finding(KNOWN[key], KNOWN[key].path, f"NVML: {name}", seen(nvml.source, f"{error.call}: {name}"))
    if case.host.coverage is not None and nvml.state is NvmlState.ANSWERED and nvml.device_count == 0 and not nvml.gpus:
        yield _finding(KNOWN["smi-none"], "NVML", "No devices were found", seen(nvml.source, "No devices were found"))
    if nvml.state is not NvmlState.ANSWERED:
        for event in case.details.system.log or ():
            if event.kind == "api-mismatch":
                yield _finding(KNOWN["library-mismatch"], "nvidia", event.text, seen(event.source, event.text))


def _finding(known: Known, path: str, found: str, evidence: Evidence) -> Finding:
    return Finding(known.code, known.severity, path, known.expected, found[:400], known.why, known.hint, (evidence,))


def _only(code: str) -> Callable[[Case], Iterable[Finding]]:
    return lambda case: (finding for finding in said(case) if finding.code == code)


# Codes that only messages have. The others belong to checks that look at the machine; `examine` adds what was said.
SYMPTOM_CHECKS: Final = tuple(
    Check(code, Severity.ERROR, title, _only(code))
    for code, title in (
        ("cdi-unresolvable", "an engine finds no CDI device of that name"),
        ("cuda-unknown-error", "CUDA says `unknown error`"),
        ("cuda-no-device", "CUDA sees no device"),
        ("cuda-driver-too-old", "the image needs a newer driver"),
        ("nvml-no-devices", "the driver is loaded and has no GPU"),
        ("driver-libraries-missing", "the driver's libraries are not found"),
        ("wsl-no-adapter", "WSL is given no GPU by Windows"),
        ("toolkit-too-old", "the container toolkit does not know this driver"),
        ("tpu-unavailable", "libtpu finds no TPU"),
    )
)
