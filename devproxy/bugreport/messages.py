"""Messages of other programs that people report, by what they are known for.

A message alone says what failed, seldom why: what may be concluded from it is the doctor's business
(devproxy/check/doctor/symptoms.py).
"""

from __future__ import annotations

import re

from devproxy.bugreport.draft import Draft
from devproxy.bugreport.smi import is_denied

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.bugreport.lines import Line

# Name and expression. The first that matches counts, so that the more particular come first.
MESSAGES: Final[tuple[tuple[str, str], ...]] = (
    ("no-gpu-driver-in-engine", r"could not select device driver \W{0,4}(?:nvidia)?\W{0,4} ?with capabilities: \[\[.*gpu"),
    ("runtime-unknown", r"[Uu]nknown (?:or invalid )?runtime (?:name|specified)?:?\s*\W?nvidia"),
    ("runtime-unknown-kubelet", r"no runtime for \W{0,3}nvidia[\w-]{0,20}\W{1,4}is configured|failed to find runtime handler \W{0,3}nvidia|RuntimeHandler \W{0,3}nvidia\W{1,4}not supported"),
    ("hook-direct", r"invoking the NVIDIA Container Runtime Hook directly"),
    ("hook-missing", r"nvidia-container-(?:runtime(?:-hook)?|toolkit|cli)\W{0,4}:? (?:executable file not found|no such file or directory)|exec: \W{0,3}nvidia-container-[\w-]+\W{0,3}: executable file not found"),
    ("cdi-conflict", r"conflicting device \W?[\w./=:-]{3,100}\W? \(specs"),
    ("cdi-stat", r"failed to stat CDI host device \W{0,4}(?P<subject>/dev/[\w./-]{1,80})"),
    ("cdi-unresolvable", r"unresolvable CDI devices? (?P<subject>[\w./=:,\- ]{3,200})"),
    ("cdi-unsupported", r"(?:\bstat |adding custom device )\W{0,3}[\w-]{1,40}\.(?:com|io|ai)/[\w-]{1,40}=[\w.:-]{1,80}?\W{1,4}no such file or directory|CDI (?:devices? )?(?:is |are )?not (?:enabled|supported)|could not select device driver \W{0,6}cdi"),
    ("mig-id-legacy", r"(?P<subject>MIG-GPU-[0-9a-f-]{36}/\d{1,2}/\d{1,2}):? unknown device"),
    ("device-unknown", r"device error: (?P<subject>[^:\s]{1,80}): (?:unknown device|invalid device)"),
    ("device-unknown", r"failed to get device handle from (?:index|UUID|id): ERROR_(?:INVALID_ARGUMENT|NOT_FOUND)|identifier is not a valid UUID or index: \W?(?P<subject>[^\s\"']{1,80})"),
    ("cgroup-bpf-denied", r"bpf_prog_query\(BPF_CGROUP_DEVICE\) failed: operation not permitted"),
    ("cgroup-v1-denied", r"devices\.(?:allow|deny)\W{0,4}:? permission denied|open failed: /sys/fs/cgroup/devices/\S{0,300}: permission denied"),
    ("cgroup-unsupported", r"BPF_PROG_ATTACH\W.{0,40}invalid argument|cgroup subsystem devices not found|failed to (?:add|attach) device (?:rules|filter)\W.{0,60}(?:bpf|BPF).{0,40}invalid argument"),
    ("persistenced-socket", r"file creation failed: \S{0,300}nvidia-persistenced/socket"),
    ("driver-library-in-image", r"file creation failed: \S{0,300}lib(?:nvidia-ml|cuda|nvidia-\w+)\.so[\d.]{0,12}: file exists|lib(?:nvidia-ml|cuda)\.so\.1: file exists"),
    ("major-name", r"missing required device major \W?nvidia-frontend|failed to (?:locate|get) (?:device )?major (?:for )?\W?nvidia-frontend"),
    ("fabric", r"(?i:system not yet initialized)|CUDA_ERROR_SYSTEM_NOT_READY|cudaErrorSystemNotReady|\bcu\w{0,30} (?:returned|failed|error)\D{0,20}\b802\b|Error 802\b|\b802 system error"),
    ("fabric-version", r"fabric manager.{0,60}version.{0,40}(?:mismatch|does not match|doesn't match)"),
    ("library-mismatch", r"Driver ?/ ?library version mismatch|(?i:system has unsupported display driver / cuda driver combination)|CUDA_ERROR_SYSTEM_DRIVER_MISMATCH|cudaErrorSystemDriverMismatch|Error 803\b"),
    ("cuda-too-new", r"CUDA driver version is insufficient for CUDA runtime version|cudaErrorInsufficientDriver|unsatisfied condition: (?:cuda|driver)\s?>=?|(?i:forward compatibility was attempted on non supported HW)|The NVIDIA driver on your system is too old"),
    ("module-missing", r"Unable to load the kernel module \W?nvidia\.ko"),
    ("nouveau", r"nouveau.{0,80}(?:conflict|in use|currently in use|must be disabled|incompatible with the NVIDIA)|Nouveau kernel driver is currently in use|another driver.{0,20}nouveau"),
    ("module-missing", r"modprobe: (?:FATAL|ERROR): (?:Module nvidia(?:[_-]current)? not found|could not insert \W?nvidia(?:[_-]current)?\W)|modprobe: (?:FATAL|ERROR): (?:Module nvidia[_-]\d{3} not found|could not insert \W?nvidia[_-]\d{3}\W)|nvidia-modprobe: .*failed"),
    ("uvm-missing", r"modprobe: (?:FATAL|ERROR): (?:Module nvidia[-_]uvm not found|could not insert \W?nvidia[-_]uvm)|/dev/nvidia-uvm\W{0,4}:? no such (?:file|device)|(?:nvidia[-_]uvm|/dev/nvidia-uvm) (?:module )?(?:is )?(?:missing|does not exist|not (?:being )?loaded)|[Cc]ould not load UVM kernel module"),
    ("driver-communication", r"couldn't communicate with the NVIDIA driver|nvml error: driver not loaded|NVML_ERROR_DRIVER_NOT_LOADED|Found no NVIDIA driver on your system"),
    ("driver-undetected", r"WARNING: The NVIDIA Driver was not detected|exec: \W{0,3}nvidia-smi\W{1,4}executable file not found"),
    ("wsl-no-adapter", r"WSL environment detected but no adapters were found"),
    ("driver-libraries", r"(?:load library failed: )?lib(?:nvidia-ml|cuda)\.so\.1: cannot open shared object file|[Cc]ould not load NVML library|Incompatible (?:platform|strategy) detected|[Nn]vml init failed: ERROR_LIBRARY_NOT_FOUND"),
    ("gsp-timeout", r"NVRM: .{0,60}\bGSP Timeout\b|NVRM: .{0,80}waiting for RPC (?:response )?from (?:GPU\d{1,3} )?GSP"),
    ("selinux-denial", r"SELinux is preventing .{1,120}? access(?:es)? on the chr_file \W?(?P<subject>/dev/[\w./-]{1,60}?)\.?(?=\W?(?:\s|$))"),
    ("gpu-lost", r"GPU (?:at \S{4,20} )?has fallen off the bus|NVRM: fallen off the bus|GPU is lost|NVML_ERROR_GPU_IS_LOST|nvmlDeviceGet\w{1,60}\W.{0,20}GPU is lost"),
    ("module-flavour", r"NVRM: installed in this system (?:is not supported by open|requires use of the NVIDIA open)"),
    ("module-without-gpu", r"NVRM: No NVIDIA (?:graphics adapter|GPU) (?:found|probed)|NVRM: The NVIDIA probe routine was not called|NVRM: NVIDIA init module failed"),
    ("cuda-unknown", r"CUDA(?: driver)?(?: error| initialization)?\W.{0,40}unknown error|CUDA_ERROR_UNKNOWN|cudaErrorUnknown|cuInit\b.{0,40}\b999\b|(?:cuda|CUDA|pytorch)\b.{0,60}\b(?:error 999|999 error)\b|\b999 error\b.{0,60}\b(?:cuda|CUDA|pytorch)\b|\b999\b.{0,20}(?:CUDA_ERROR_UNKNOWN|unknown error)|\[\[ [Uu]nknown error \(error 999\)"),
    ("cuda-none", r"(?i:no CUDA-capable device is detected)|No CUDA GPUs are available|CUDA_ERROR_NO_DEVICE|cudaErrorNoDevice"),
    ("open-denied-cgroup", r"(?:[Cc]ouldn't|[Cc]ould not|[Ff]ailed to|[Cc]annot|[Uu]nable to) open\b.{0,60}?(?P<subject>/dev/[\w./-]{1,60})\W.{0,20}Operation not permitted|open\(\"(?P<other>/dev/[\w./-]{1,60})\", [^)]{1,60}\)\s*= -1 EPERM|(?P<third>/dev/(?:nvidia|accel|vfio|dri|kfd)[\w./-]{0,60})\W{1,4}[Oo]peration not permitted"),
    ("open-denied-mode", r"(?:[Cc]ouldn't|[Cc]ould not|[Ff]ailed to|[Cc]annot|[Uu]nable to) open\b.{0,60}?(?P<subject>/dev/[\w./-]{1,60})\W.{0,40}Permission denied|open(?:at)?\((?:AT_FDCWD, )?\"(?P<other>/dev/[\w./:-]{1,60})\", [^)]{1,60}\)\s*= -1 EACCES|(?P<third>/dev/(?:nvidia|accel|vfio|dri|kfd)[\w./-]{0,60})(?: is not accessible)?\W{1,4}[Pp]ermission denied"),
    ("open-busy", r"(?:[Cc]ouldn't|[Cc]ould not|[Ff]ailed to|[Cc]annot|[Uu]nable to) open\b.{0,60}?(?P<subject>/dev/[\w./-]{1,60})\W.{0,40}(?:Device or resource busy|EBUSY)|(?P<third>/dev/(?:nvidia|accel|vfio|dri|kfd)[\w./-]{0,60})\W{1,4}[Dd]evice or resource busy"),
    ("open-nothing", r"(?:[Cc]ouldn't|[Cc]ould not|[Ff]ailed to|[Cc]annot|[Uu]nable to) open\b.{0,60}?(?P<subject>/dev/[\w./-]{1,60})\W.{0,40}No such device or address|(?P<third>/dev/(?:nvidia|accel|vfio|dri|kfd)[\w./-]{0,60})\W{1,4}[Nn]o such device or address"),
    ("open-invalid", r"(?:[Cc]ouldn't|[Cc]ould not|[Ff]ailed to|[Cc]annot|[Uu]nable to) open\b.{0,60}?(?P<subject>/dev/(?:nvidia|accel|vfio|dri|kfd)[\w./-]{0,60})\W.{0,40}Invalid argument"),
    ("open-no-memory", r"(?:[Cc]ouldn't|[Cc]ould not|[Ff]ailed to|[Cc]annot|[Uu]nable to) open\b.{0,60}?(?P<subject>/dev/(?:nvidia|accel|vfio|dri|kfd)[\w./-]{0,60})\W.{0,40}Cannot allocate memory"),
    ("open-missing", r"(?:[Cc]ouldn't|[Cc]ould not|[Ff]ailed to|[Cc]annot|[Uu]nable to) open\b.{0,60}?(?P<subject>/dev/(?:nvidia|accel|vfio|dri|kfd)[\w./-]{0,60})\W.{0,40}No such file or directory|error gathering device information while adding custom device \W{1,3}(?P<other>/dev/[\w./-]{1,60})\W{1,3}: no such file"),
    ("tpu-lockfile", r"Internal error when accessing libtpu multi-process lockfile|libtpu_lockfile\W.{0,40}(?:Permission denied|exists)"),
    ("tpu-busy", r"The TPU is already in use by (?:process with pid (?P<subject>\d{1,9})|another process)|libtpu\.so (?:is )?already in use"),
    ("tpu-service", r"TPU initialization failed: Failed to connect to \[?[\w.:]{1,40}\]?:\d{2,5}"),
    ("tpu-topology", r"Failed to get global TPU topology|No TPU devices? (?:were )?found|Unable to initialize backend 'tpu'"),
    ("vfio-viable", r"group (?P<subject>\d{1,6}) is not viable|vfio: error,? group \S{1,20} is not viable"),
    ("vfio-control", r"(?:Couldn't open vfio container|[Ff]ailed to open /dev/vfio/vfio)\W.{0,60}(?:Permission denied|EACCES)|/dev/vfio/vfio\W{1,4}[Pp]ermission denied"),
    ("iommu", r"(?:No IOMMU|IOMMU (?:is )?(?:not (?:present|enabled|found)|disabled))|no iommu_group found|vfio \S{1,30}: no iommu_group"),
    ("kfd-denied", r"Unable to open /dev/kfd read-write: Permission denied|is not member of \W?(?:video|render)\W? group"),
    ("shm", r"(?:nccl|NCCL|shm|shared memory).{0,160}No space left on device|NCCL WARN .{0,20}failed to extend /dev/shm/|Bus error.{0,80}shared memory|insufficient shared memory \(shm\)|unable to (?:open|allocate) shared memory.{0,80}(?:No space|resize)"),
    ("memlock", r"RLIMIT_MEMLOCK|mmap\(.{0,80}\) failed.{0,20}-11\b|ibv_(?:reg_mr|create_\w+).{0,60}Cannot allocate memory|memlock.{0,40}too (?:low|small)"),
)  # fmt: skip
_COMPILED: Final = tuple((name, re.compile(pattern)) for name, pattern in MESSAGES)
# A message is known by its words: lines without one of these are not looked at further.
_HINT: Final = re.compile(
    r"nvidia|nvrm|selinux|cuda|uvm|nvml|cdi|mig-|cgroup|bpf|/dev/|tpu|vfio|iommu|nccl|shm|shared memory|memlock|nouveau|driver|gpu|modprobe|devices\.|runtime|error 80|error 999|incompatible|802 system|999 error|not yet init|rejected|group|ibv_|mmap|device",
    re.IGNORECASE,
)
_LIMIT: Final = 1024


def take_message(lines: list[Line], at: int, draft: Draft) -> int:
    """A line with a known message, also where a terminal or a mail program wrapped it."""
    first = lines[at].text[:_LIMIT]
    if draft.expected or not first or _HINT.search(first) is None:
        return 0
    following = lines[at + 1].text[:_LIMIT] if at + 1 < len(lines) else ""
    found = _known(first)
    taken = 1
    if found is None and len(first) > 40 and following and _known(following) is None:
        found = _known(f"{first} {following}")
        taken = 2 if found is not None else 1
    if found is None or is_denied(first):
        return 0
    name, subject = found
    draft.put_message(name, subject, first if taken == 1 else f"{first} {following}", lines[at].number)
    if name == "cdi-unresolvable":
        for each in subject.replace(",", " ").split():
            if "=" in each:
                draft.requests.setdefault(("--device", each.rstrip(".:")), lines[at].number)
    draft.use(lines[at].number, lines[at + taken - 1].number, "error message", 1, "message")
    return taken


def _known(text: str) -> tuple[str, str] | None:
    for name, pattern in _COMPILED:
        if found := pattern.search(text):
            groups = found.groupdict()
            return name, (groups.get("subject") or groups.get("other") or groups.get("third") or "").strip(" .,'\"")
    return None
