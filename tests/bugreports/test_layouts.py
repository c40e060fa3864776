"""Layouts of output that people paste in public trackers, re-made: each was once not read, or taken for a fault."""

from __future__ import annotations

from typing import Final

import pytest

from devproxy.bugreport.report import read_text
from devproxy.check.doctor.case import Case
from devproxy.check.doctor.examine import examine
from devproxy.check.finding import Severity

_TOLD: Final = (Severity.ERROR, Severity.WARNING)
_LSMOD: Final = "nvidia_drm             77824  0\nnvidia_modeset       1306624  1 nvidia_drm\nnvidia              56770560  1 nvidia_modeset\n"

# The report, and a code that it leads to.
FAULTS: Final[dict[str, tuple[str, str]]] = {
    "a space on either side of the slash": ("Failed to initialize NVML: Driver / library version mismatch. It worked yesterday.\n", "driver-library-mismatch"),
    "prompts that name the place": ("```\n(container) $ nvidia-smi -L\nFailed to initialize NVML: Unknown Error\n```\nOutside it is well:\n```\n(host) # nvidia-smi -L\nGPU 0: NVIDIA A10 (UUID: GPU-5d0bb1a7-8f2c-4c1e-9a35-1e7720f6c4b1)\n```\n", "nvml-error"),
    "lsmod without a prompt, and a gap": (f"lsmod | grep nvidia\n\n{_LSMOD}", "uvm-not-loaded"),
    "grep found no module, and lspci has a GPU": ("$ lsmod | grep nvidia\n$ lspci | grep -i nvidia\n5a:00.0 3D controller: NVIDIA Corporation GV100GL [Tesla V100 SXM2 32GB] (rev a1)\n", "driver-not-loaded"),
    "a GPU that fell off, in four lines": ("```\n[ 1843.300000] NVRM: The NVIDIA GPU 0000:b3:00.0\n               NVRM: (PCI ID: 10de:26b5) installed in this system has\n               NVRM: fallen off the bus and is not responding to commands.\n```\n", "device-lost"),
    "a GPU that fell off, by its address": ("[   49.200000] NVRM: GPU at 0000:01:00.0 has fallen off the bus.\n", "device-lost"),
    "no handle for a GPU": ("$ nvidia-smi\nUnable to determine the device handle for GPU 0000:D8:00.0: Not Found\n", "nvml-error"),
    "a MIG device's memory": ("error visiting MIG device: error getting parent memory info: Insufficient Permissions\n", "nvml-error"),
    "802 in words": ("On an H200 CUDA fails with 802 system error.\n", "fabric-manager-missing"),
    "the probe routine was not called": ("[188549.976351] NVRM: The NVIDIA probe routine was not called for 3 device(s).\n[188549.977053] NVRM: This can occur when a driver such as:\nNVRM: nouveau, rivafb, nvidiafb or rivatv\n", "driver-not-loaded"),
    "no adapter": ("[  441.170986] NVRM: No NVIDIA graphics adapter found!\n[  441.171021] NVRM: NVIDIA init module failed!\n", "driver-not-loaded"),
    "the installer cannot load": ("ERROR: Unable to load the kernel module 'nvidia.ko'. It was built with another gcc than was used to build the kernel, or if another driver, such as nouveau, is present.\n", "driver-not-loaded"),
    "a module of Ubuntu's by its branch": ("modprobe: ERROR: could not insert 'nvidia_367': Function not implemented\n", "driver-not-loaded"),
    "Secure Boot": ("$ sudo modprobe nvidia\nmodprobe: ERROR: could not insert 'nvidia': Key was rejected by service\n", "driver-not-loaded"),
    "a file in place of a render node": ("root@pve:~# ls -l /dev/dri\ntotal 0\ndrwxr-xr-x 2 root root      60 Aug 29 01:17 by-path\ncrw-rw---- 1 root video 226, 0 Aug 29 01:17 card0\n---------- 1 root root       0 Aug 29 01:18 renderD128\n", "node-kind-wrong"),
    "a name that an editor made a link": ("Error: setting up CDI devices: unresolvable CDI devices [nvidia.com/gpu=all](http://nvidia.com/gpu=all)\n", "cdi-unresolvable"),
    "999 in a title": ("# [Bug]: pytorch in docker fails with error 999, related to nvidia-uvm\n", "cuda-unknown-error"),
    "a render node by its path": ('openat(AT_FDCWD, "/dev/dri/by-path/pci-0000:00:02.0-render", O_RDWR|O_CLOEXEC) = -1 EACCES (Permission denied)\n', "open-denied-by-mode"),
    "not accessible": ("WARN VAAPI device /dev/dri/renderD128 is not accessible (permission denied)\n", "open-denied-by-mode"),
    "a device plugin without NVML": ("2020/05/25 19:27:34 Failed to initialize NVML: could not load NVML library.\n", "driver-libraries-missing"),
    "a newer device plugin without NVML": ("unable to create plugin manager: nvml init failed: ERROR_LIBRARY_NOT_FOUND\n", "driver-libraries-missing"),
    "nvidia-docker without uvm": ("nvidia-docker | 2017/07/09 00:49:15 Error: Could not load UVM kernel module. Is nvidia-modprobe installed?\n", "uvm-not-loaded"),
    "uvm in a sentence": ("After a reboot Slurm complains about the nvidia-uvm module not being loaded.\n", "uvm-not-loaded"),
    "Windows is well, WSL is not": ("In WSL: Failed to initialize NVML: GPU access blocked by the operating system\n\nOn Windows it works :\n```\n# nvidia-smi\n| NVIDIA-SMI 536.40                 Driver Version: 536.40       CUDA Version: 12.2     |\n|   0  NVIDIA GeForce GTX 1060 3GB  WDDM  | 00000000:01:00.0  On |                  N/A |\n```\n", "nvml-error"),
    "the hook alone on Jetson": ("stderr: Auto-detected mode as 'csv'\ninvoking the NVIDIA Container Runtime Hook directly (e.g. specifying the docker --gpus flag) is not supported.\n", "runtime-not-configured"),
    "SELinux's desktop notice": ("`SELinux is preventing pasta from 'read, write' accesses on the chr_file /dev/dri/renderD128.`\n", "selinux-denies-device"),
    "firmware that does not answer": ("[   84.300488] NVRM: GPU6 _kgspLogRpcTimeout: ********************************* GSP Timeout **********************************\n", "device-lost"),
    "a journal in Polish": ("kwi 15 07:56:59 box kernel: NVRM: Xid (PCI:0000:07:00): 109, pid=326, name=modprobe, errorString CTX SWITCH TIMEOUT\n", "xid-since"),
    "docker without CDI": ('docker: Error response from daemon: could not select device driver "cdi" with capabilities: [].\n', "runtime-not-configured"),
    "a node that cannot be opened so": ("$ rocminfo\nROCk module version 6.7.0 is loaded\nUnable to open /dev/kfd read-write: Invalid argument\n", "open-failed"),
    "a GPU without addresses, in a virtual machine": ("```\n[  260.063553] NVRM: This PCI I/O region assigned to your NVIDIA device is invalid:\n               NVRM: BAR1 is 0M @ 0x0 (PCI:0000:14:00.0)\n[  260.063557] nvidia: probe of 0000:14:00.0 failed with error -1\n```\n", "gpu-init-failed"),
    "no memory for a process of kfd": ("$ rocminfo\nROCk module is loaded\nUnable to open /dev/kfd read-write: Cannot allocate memory\nme is member of render group\n", "open-failed"),
    "cat may not": ("$ cat /dev/dri/card0\ncat: /dev/dri/card0: Permission denied\n", "open-denied-by-mode"),
    "the other flavour of the module": ("[   60.000000] NVRM: The NVIDIA GPU 0000:2c:00.0 (PCI ID: 10de:1d16)\n               NVRM: installed in this system is not supported by open\n               NVRM: nvidia.ko because it does not include the required GPU\n", "gpu-init-failed"),
}  # fmt: skip
# Reports of which nothing is an error.
SOUND: Final[dict[str, str]] = {
    "a region with an address": "[    2.100000] NVRM: BAR1 is 256M @ 0xe0000000 (PCI:0000:14:00.0)\n",
    "kubelet has a runtime": 'Normal  Pulled  2s  kubelet  Container image "nvidia/cuda" already present; the handler for "nvidia" is configured\n',
    "a member of the group": "me is member of render group\n",
    "segments that somebody else removed": "box:14:69 [0] misc/shmutils.cc:129 NCCL WARN Error while attaching to shared memory segment /dev/shm/nccl-glnlGK (size 14156128), error: No such file or directory (2)\n",
    "another driver's module is not signed": "modprobe: ERROR: could not insert 'clevo_acpi': Key was rejected by service\n",
    "a directory of devices for docker": "$ docker run -it --device=/dev/kfd --device=/dev/dri --group-add video rocm/pytorch rocminfo\n",
    "a log line of a service is not a command": "lsmod-exporter | nvidia              56770560  1 nvidia_modeset\n",
    "a bridge in the group": "Wrong driver devices: [('0000:04:00.0', 'pcieport')]\nAll devices in an IOMMU group must be bound to vfio-pci\n",
    "groups and nothing else": "IOMMU Group 2:\n        00:01.0 PCI bridge [0604]: Intel Corporation PCIe Controller (x16) [8086:1901] (rev 07)\n        01:00.0 VGA compatible controller [0300]: NVIDIA Corporation TU116 [10de:2184] (rev a1)\n        01:00.1 Audio device [0403]: NVIDIA Corporation TU116 Audio [10de:1aeb] (rev a1)\n",
    "an older firmware was tried first": "[    4.445538] intel_vpu 0000:00:0b.0: firmware: failed to load vpu_37xx.bin (-2)\n[    4.452181] intel_vpu 0000:00:0b.0: [drm] Firmware: intel/vpu/vpu_37xx_v0.0.bin, version: 20250306\n[    4.535283] [drm] Initialized intel_vpu 1.0.0 for 0000:00:0b.0 on minor 0\n",
    "names without their directory": "$ ls -al nvidia*\ncrw-rw-rw-. 1 root root 195,   0 Aug 23 17:11 nvidia0\ncrw-rw-rw-. 1 root root 195, 255 Aug 23 17:11 nvidiactl\ncrw-rw-rw-. 1 root root 239,   0 Aug 23 17:11 nvidia-uvm\n",
    "nouveau is blacklisted": "root@box:~# dmesg | grep -i nouveau\n[    0.000000] Command line: BOOT_IMAGE=/boot/vmlinuz ro intel_iommu=on modprobe.blacklist=nouveau quiet\n",
    "information of an old driver, in Italian": "$ ls -al /dev/dri/\ntotale 0\ndrwxr-xr-x   2 root root     60 17 ott 23.00 by-path\ncrw-rw-rw-+  1 root root 226, 0 17 ott 23.00 card0\n$ cat /proc/driver/nvidia/gpus/0000\\:04\\:00.0/information\nModel:           GeForce GTX 650\nIRQ:             44\nGPU UUID:        GPU-5d0bb1a7-8f2c-4c1e-9a35-1e7720f6c4b1\nBus Location:    0000:04:00.0\n",
    "cat reads, and the node has nothing to read": "$ cat /dev/kfd\ncat: /dev/kfd: Invalid argument\n",
    "ls may not look into a directory": "$ ls -l /dev/dri\nls: cannot open directory '/dev/dri': Permission denied\n",
    "what a container has for names": "$ docker run -it --device=/dev/dri rocm/pytorch ls -ld /dev/dri /dev/dri/*\nls: cannot access '/dev/dri/by-path': No such file or directory\ndrwxr-xr-x  2 root   root         80 Sep 11 09:18 /dev/dri\ncrw-rw----+ 1 nobody daemon 226,   1 Sep 11 09:06 /dev/dri/card1\n",
    "a Jetson's nvidia-smi": "| NVIDIA-SMI 540.3.0                Driver Version: N/A          CUDA Version: 12.2     |\n|   0  Orin (nvgpu)                  N/A  | N/A              N/A |                  N/A |\n",
    "a template that nobody filled in": " - [ ] Any relevant kernel output lines from `dmesg`\n - [ ] Driver information from `nvidia-smi -a`\n",
    "modules, passed through": "$ lsmod | grep nvidia\n$ lspci -nnk -d 10de:\n01:00.0 3D controller [0302]: NVIDIA Corporation GV100GL [10de:1db6] (rev a1)\n\tKernel driver in use: vfio-pci\n",
}  # fmt: skip


def told(text: str, *severities: Severity) -> set[str]:
    report = examine(Case(read_text(text).host), judge_what_is_there=True)
    return {finding.code for finding in report.findings if finding.severity in severities}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found(name: str) -> None:
    text, code = FAULTS[name]
    assert code in told(text, *_TOLD)


@pytest.mark.parametrize("name", SOUND)
def test_nothing_is_made_of_what_is_sound(name: str) -> None:
    assert not told(SOUND[name], Severity.ERROR)
