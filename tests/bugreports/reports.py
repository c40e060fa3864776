"""Reports of our own, in the styles in which people write them: the text, and the codes that it must and may lead to."""

from __future__ import annotations

from typing import Final

_CTL = "crw-rw-rw- 1 root root 195, 255 Feb 17 13:47 /dev/nvidiactl\n"
_GPU = "crw-rw-rw- 1 root root 195,   0 Feb 17 13:47 /dev/nvidia0\n"
_UVM = "crw-rw-rw- 1 root root 510,   0 Feb 17 13:47 /dev/nvidia-uvm\n"
_TOOLS = "crw-rw-rw- 1 root root 510,   1 Feb 17 13:47 /dev/nvidia-uvm-tools\n"
_NODES = _CTL + _GPU + _UVM + _TOOLS
_MAJORS = "$ grep nvidia /proc/devices\n195 nvidia\n195 nvidiactl\n235 nvidia-caps\n{} nvidia-uvm\n"
_SMI = (
    "Mon Feb 17 13:47:09 2025\n+-----+\n| NVIDIA-SMI 550.163.01    Driver Version: 550.163.01    CUDA Version: 12.4     |\n"
    "|   0  NVIDIA L4            Off |   00000000:3B:00.0 Off |                    0 |\n+-----+\n"
)
_UUID = "5d0bb1a7-8f2c-4c1e-9a35-1e7720f6c4b1"

BROKEN: Final[dict[str, tuple[str, str]]] = {
    "uvm has another major than its node": (f"$ ls -l /dev/nvidia*\n{_NODES}{_MAJORS.format(511)}", "node-major-mismatch"),
    "the same, in a mail": ("".join(f"> {line}\n" for line in (f"$ ls -l /dev/nvidia*\n{_NODES}{_MAJORS.format(511)}").splitlines()), "node-major-mismatch"),
    "the same, in German": (f"Hallo,\n\nroot@gpu:~# ls -l /dev/nvidia*\n{_NODES.replace('Feb 17', '17. Feb')}\nroot@gpu:~# grep nvidia /proc/devices\n195 nvidia\n506 nvidia-uvm\n", "node-major-mismatch"),
    "caps with the major of imex": ("$ ls -l /dev/nvidia-caps\ntotal 0\ncr--r--r-- 1 root root 234, 4323 Feb 17 13:47 nvidia-cap4323\n$ grep nvidia /proc/devices\n195 nvidia\n234 nvidia-caps-imex-channels\n235 nvidia-caps\n", "node-major-mismatch"),
    "a GPU's node with another major": ("crw-rw-rw- 1 root root 196, 0 Feb 17 13:47 /dev/nvidia0\n", "node-major-mismatch"),
    "uvm with major 0": ("# ls -l /dev/nvidia-uvm\ncrw-rw-rw- 1 root root 0, 0 Feb 17 13:47 /dev/nvidia-uvm\n", "node-major-zero"),
    "660 as decimal": ("```console\n$ ls -l /dev/nvidia0\nc-w--w-r-T 1 root video 195, 0 Feb 17 13:47 /dev/nvidia0\n```\n", "node-mode-malformed"),
    "uvm is not among the modules": ("$ lsmod | grep nvidia\nnvidia_drm             77824  4\nnvidia_modeset       1306624  5 nvidia_drm\nnvidia              56770560  203 nvidia_modeset\n", "uvm-not-loaded"),
    "lsmod whole": ("# lsmod\nModule                  Size  Used by\nnvidia              56770560  0\next4                  741376  1\n", "uvm-not-loaded"),
    "grep found no uvm": ("me@box:~$ cat /proc/devices | grep -i nvidia\n195 nvidia\n195 nvidiactl\n235 nvidia-caps\nme@box:~$\n", "uvm-not-loaded"),
    "/proc/devices whole without uvm": ("$ cat /proc/devices\nCharacter devices:\n  1 mem\n  5 /dev/tty\n 10 misc\n195 nvidia\n226 drm\n\nBlock devices:\n  7 loop\n  8 sd\n", "uvm-not-loaded"),
    "a GPU without a node": (f"cat /proc/driver/nvidia/gpus/0000:3b:00.0/information\nModel: \t\t NVIDIA L4\nIRQ:   \t\t 16\nGPU UUID: \t GPU-{_UUID}\nBus Location: \t 0000:3b:00.0\nDevice Minor: \t 0\n$ ls -l /dev/nvidia*\n{_CTL}{_UVM}{_TOOLS}", "node-missing"),
    "a file where uvm should be": (f"$ ls -l /dev/nvidia*\n{_CTL}{_GPU}-rw-r--r-- 1 root root 0 Feb 17 13:47 /dev/nvidia-uvm\n", "node-kind-wrong"),
    "smi: mismatch": ("nvidia-smi\nFailed to initialize NVML: Driver/library version mismatch\nNVML library version: 535.171\n", "driver-library-mismatch"),
    "kernel's log: mismatch": ("Jun 29 12:00:00 box kernel: [ 7386.259769] NVRM: API mismatch: the client has the version 535.171.04, but\nJun 29 12:00:00 box kernel: NVRM: this kernel module has the version 535.161.08.  Please\n", "driver-library-mismatch"),
    "no permission": ("$ nvidia-smi\nFailed to initialize NVML: Insufficient Permissions\n", "nvml-error"),
    "lost after daemon-reload": ("## Inside the container:\n```\n# nvidia-smi\nFailed to initialize NVML: Unknown Error\n```\non the host:\n```\n" + _SMI + "```\n", "nvml-error"),
    "no driver for the module": ("$ lspci -nnk | grep -A3 -i nvidia\n3b:00.0 3D controller [0302]: NVIDIA Corporation AD104GL [L4] [10de:27b8] (rev a1)\n\tSubsystem: NVIDIA Corporation Device [10de:16ca]\n\tKernel modules: nouveau, nvidia_drm, nvidia\n", "driver-not-loaded"),
    "nouveau": ("$ lspci -k\n01:00.0 VGA compatible controller: NVIDIA Corporation TU104 [GeForce RTX 2080] (rev a1)\n\tKernel driver in use: nouveau\n\tKernel modules: nouveau\n", "blocked-by-nouveau"),
    "four chips without a driver": ("".join(f"00:0{n}.0 Unassigned class [ff00]: Google, Inc. Device [1ae0:0063]\n\tSubsystem: Google, Inc. Device [1ae0:0063]\n\n" for n in (4, 5)).join(("$ lspci -nnk\n", "")), "driver-not-loaded"),
    "chips in somebody's words": ("We have 4 TPU devices (1ae0:0062) with no kernel driver bound.\n", "driver-not-loaded"),
    "a cgroup without rw": ("$ cat /sys/fs/cgroup/devices/docker/abc/devices.list\nc 136:* rwm\nc 5:2 rwm\nc 195:* m\n", "cgroup-rule-missing"),
    "a cgroup before and after": ("Before:\nc 195:* rw\nc 510:* rw\n\nAfter `systemctl daemon-reload`:\nc 195:* m\n", "cgroup-rule-missing"),
    "an old id of MIG": (f"docker run -e NVIDIA_VISIBLE_DEVICES=MIG-GPU-{_UUID}/1/0 x\nnvidia-container-cli: device error: MIG-GPU-{_UUID}/1/0: unknown device: unknown.\n", "mig-id-legacy"),
    "a group's node not viable": ("qemu-system-x86_64: -device vfio-pci,host=01:00.0: vfio 0000:01:00.0: group 12 is not viable\nPlease ensure all devices within the iommu_group are bound to their vfio bus driver.\n", "vfio-group-not-viable"),
    "vfio's control node 0600": ("$ ls -l /dev/vfio/\ntotal 0\ncrw-rw-rw- 1 root root 241, 0 May 18 11:30 12\ncrw------- 1 root root 10, 196 May 18 11:29 vfio\n$ id\nuid=1000(me) gid=1000(me) groups=1000(me)\n", "vfio-control-mode"),
    "EPERM of a TPU": ("E0217 13:47:09 tpu.cc:12] Couldn't open device: /dev/accel0 (Operation not permitted)\n", "open-denied-by-cgroup"),
    "EPERM in strace": ('open("/dev/nvidiactl", O_RDWR|O_CLOEXEC) = -1 EPERM (Operation not permitted)\n', "open-denied-by-cgroup"),
    "AVC": ('$ sudo ausearch -m AVC\ntype=AVC msg=audit(1684.1:2): avc:  denied  { read write } for  pid=1 comm="nvidia-smi" path="/dev/nvidiactl" dev="devtmpfs" scontext=system_u:system_r:container_t:s0:c1 tcontext=system_u:object_r:xserver_misc_device_t:s0 tclass=chr_file permissive=0\n', "selinux-denies-device"),
    "the group that owns kfd": ("rocminfo\nUnable to open /dev/kfd read-write: Permission denied\nme is not member of \"render\" group, the default DRM access group.\n", "open-denied-by-mode"),
    "engine without toolkit": ('$ docker run --gpus all ubuntu nvidia-smi\ndocker: Error response from daemon: could not select device\ndriver "" with capabilities: [[gpu]].\n', "runtime-not-configured"),
    "wrapped by a mail program": ("> Error: setting up CDI devices: unresolvable CDI\n> devices nvidia.com/gpu=all\n", "cdi-unresolvable"),
    "podman in a log": ("2025-02-17T13:47:09Z Error: setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=0\n", "cdi-unresolvable"),
    "a stale DRM node in a spec": ('failed to stat CDI host device "/dev/dri/renderD129": no such file or directory\n', "cdi-host-path-missing"),
    "rootless without no-cgroups": ("nvidia-container-cli: mount error: failed to add device rules: bpf_prog_query(BPF_CGROUP_DEVICE) failed: operation not permitted: unknown\n", "runtime-rootless-legacy"),
    "999": ("cuInit(0) failed: 999 CUDA_ERROR_UNKNOWN\nbut nvidia-smi works:\n" + _SMI, "cuda-unknown-error"),
    "802": ("torch: Error 802: system not yet initialized (Triggered internally)\n", "fabric-manager-missing"),
    "an Xid": ("[ 1000.5] NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, GPU has fallen off the bus.\n", "xid-since"),
    "a lock of libtpu": ('Internal error when accessing libtpu multi-process lockfile. Run "$ sudo rm /tmp/libtpu_lockfile".\n', "tpu-lockfile-stale"),
    "0660 and not in the group": ("$ ls -l /dev/nvidia0\ncrw-rw---- 1 root video 195, 0 Feb 17 13:47 /dev/nvidia0\n$ id\nuid=1000(me) gid=1000(me) groups=1000(me),27(sudo)\n", "node-mode-restrictive"),
    "libraries in the image": ("nvidia-container-cli: mount error: file creation failed: /var/lib/docker/overlay2/x/merged/usr/lib/libcuda.so.1: file exists: unknown\n", "image-has-driver-libraries"),
}  # fmt: skip

SOUND: Final[dict[str, str]] = {
    "everything as it should be": f"$ ls -l /dev/nvidia*\n{_NODES}{_MAJORS.format(510)}$ nvidia-smi\n{_SMI}",
    "fixed by a reboot": f"$ ls -l /dev/nvidia-uvm\n{_UVM.replace('510', '509')}after a reboot:\n$ ls -l /dev/nvidia-uvm\n{_UVM}{_MAJORS.format(510)}",
    "one node of many": f"$ ls -l /dev/nvidia0\n{_GPU}",
    "in a container": f"$ docker exec box ls -l /dev\n{_CTL}{_GPU}$ grep nvidia-caps /proc/devices\n235 nvidia-caps\n",
    "what grep did not ask for": "$ grep nvidia-caps /proc/devices\n235 nvidia-caps\n",
    "lspci without drivers": "$ lspci | grep -i nvidia\n3b:00.0 3D controller: NVIDIA Corporation AD104GL [L4] (rev a1)\n",
    "prose alone": "Is there a way to run two containers with one GPU? I saw uvm and cgroup rules mentioned in the documentation.\n",
    "expected output": "### Expected behavior\nnot `Failed to initialize NVML: Unknown Error`\n",
    "cut short": f"$ ls -l /dev/nvidia* | head -2\n{_CTL}{_GPU}",
    "smi fails, then works": f"$ nvidia-smi\nFailed to initialize NVML: Driver/library version mismatch\n$ sudo reboot\n$ nvidia-smi\n{_SMI}",
    "one line of lsmod": "nvidia              56770560  203 nvidia_modeset\n",
    "lsmod, asked for something else": "$ lsmod | grep nvidia_drm\nnvidia_drm             77824  4\nnvidia  56770560  203 nvidia_drm\n",
    "a TPU that works": "$ lspci -nnk\n00:04.0 Unassigned class [ff00]: Google, Inc. Device [1ae0:0063]\n\tKernel driver in use: vfio-pci\n",
}  # fmt: skip
