"""What a deep probe finds on made-up machines around their devices: modules, libraries, services, runtimes, logs."""

from __future__ import annotations

from typing import Final

from devproxy.host.facts import Host
from devproxy.host.probe import probe_reader
from tests.hosts.machine import Machine

_LIBRARIES: Final = "/usr/lib/x86_64-linux-gnu"
_DRIVER: Final = (
    "libcuda", "libnvidia-ml", "libnvidia-ptxjitcompiler", "libnvidia-nvvm", "libnvidia-opencl", "libnvidia-cfg",
    "libnvidia-allocator", "libnvidia-gpucomp", "libcudadebugger", "libnvcuvid", "libnvidia-encode",
)  # fmt: skip
_CAPABILITIES: Final = ("CAP_CHOWN", "CAP_IPC_LOCK", "CAP_MKNOD", "CAP_SYS_ADMIN", "CAP_SYSLOG")
_SHM: Final = 503 << 30
_BOOT: Final = "5f0c2a54-93d1-4b7e-8a26-c1d0e9f3b748"
_NOW: Final = 1764547200.0  # 2025-12-01
_UP: Final = 86400.0
_TOOLKIT: Final = "1.17.8"
_TOOLKIT_SETTINGS: Final = {
    "disable-require": "false", "supported-driver-capabilities": "compat32,compute,display,graphics,ngx,utility,video",
    "nvidia-container-cli.environment": "", "nvidia-container-cli.ldconfig": "@/sbin/ldconfig.real",
    "nvidia-container-cli.load-kmods": "true", "nvidia-container-runtime.log-level": "info",
    "nvidia-container-runtime.mode": "auto", "nvidia-container-runtime.modes.cdi.default-kind": "nvidia.com/gpu",
    "nvidia-container-runtime.modes.cdi.spec-dirs": "/etc/cdi,/var/run/cdi",
    "nvidia-container-runtime.runtimes": "runc,crun",
}  # fmt: skip


def with_system_facts(machine: Machine) -> Machine:
    """The machine as it is when all is well. Root probes it, outside of containers."""
    host = probe_reader(machine, name="machine", simulated=True)
    groups = {"kvm": 108, "render": 109, "video": 44}
    ids = {"gid": 0, "gids": [0], "groups": groups, "uid": 0}
    machine.fact("caller", {**ids, "capabilities": list(_CAPABILITIES), "user_namespace": False})
    machine.fact("file_systems", {"file_systems": [{"free": _SHM, "path": "/dev/shm", "size": _SHM}]})
    machine.fact("clock", {"boot": _BOOT, "boottime": _UP, "monotonic": _UP, "realtime": _NOW})
    nothing: dict[str, object] = {"entries": [], "left_out": 0, "mps": [], "segments": [], "segments_left_out": 0}
    machine.fact("shared_memory", nothing)
    machine.fact("environment", {"variables": {}})
    machine.fact("command_line", {"parameters": ["iommu=pt", "intel_iommu=on"]})
    machine.file("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma misc\n")
    machine.file("/proc/1/cgroup", "0::/init.scope\n")
    _modules(machine, host)
    programs = [_program("runc", "/usr/bin/runc", "1.2.5"), _program("containerd", "/usr/bin/containerd", "1.7.27")]
    configurations: list[dict[str, object]] = []
    sockets = [("containerd", "/run/containerd/containerd.sock")]
    lines: list[str] = []
    if host.nvidia is not None and host.nvidia.version:
        _driver(machine, host.nvidia.version, open_module=_is_open(machine))
        lines = _driver_log(host)
        programs += [
            _program(name, f"/usr/bin/{name}", _TOOLKIT)
            for name in ("nvidia-container-runtime", "nvidia-ctk", "nvidia-container-cli")
        ]
        toolkit = "/etc/nvidia-container-runtime/config.toml"
        configurations = [
            {"name": "containerd", "path": "/etc/containerd/config.toml", "settings": _containerd(), "why": ""},
            {"name": "nvidia-container-runtime", "path": toolkit, "settings": _TOOLKIT_SETTINGS, "why": ""},
        ]
        sockets.append(("nvidia-persistenced", "/run/nvidia-persistenced/socket"))
        if host.nvidia.switches:
            sockets.append(("nvidia-fabricmanager", "/run/nvidia-fabricmanager/socket"))
            programs.append(_program("nv-fabricmanager", "/usr/bin/nv-fabricmanager", host.nvidia.version))
    sequences = [1000 + number for number in range(len(lines))]
    machine.fact(
        "kernel_log",
        {"complete": True, "left_out": 0, "lines": lines, "sequences": sequences, "span": [0, 1000 + len(lines)]},
    )
    machine.fact("runtimes", {"configurations": configurations, "programs": programs})
    listening = [{"listening": True, "path": path, "service": service, "why": ""} for service, path in sockets]
    return machine.fact("sockets", {"sockets": listening})


def _program(name: str, path: str, version: str) -> dict[str, object]:
    return {"drivers": [], "name": name, "path": path, "version": version, "why": ""}


def _containerd() -> dict[str, str]:
    return {
        "cdi_spec_dirs": "/etc/cdi,/var/run/cdi", "default_runtime_name": "nvidia", "enable_cdi": "true",
        "runtimes": "nvidia,runc", "runtimes.nvidia.BinaryName": "/usr/bin/nvidia-container-runtime",
        "runtimes.nvidia.SystemdCgroup": "true", "runtimes.runc.SystemdCgroup": "true",
    }  # fmt: skip


def _modules(machine: Machine, host: Host) -> None:
    """/proc/modules as lsmod reads it, with versions where the drivers have one."""
    lines = ["ext4 1105920 2 - Live 0x0000000000000000", "kvm_intel 487424 0 - Live 0x0000000000000000"]
    lines.append("kvm 1409024 1 kvm_intel, Live 0x0000000000000000")
    version = host.nvidia.version if host.nvidia is not None else ""
    if version:
        uvm = host.major_of("nvidia-uvm") is not None
        users = "nvidia_uvm,nvidia_modeset," if uvm else "nvidia_modeset,"
        lines.append(f"nvidia 104071168 {16 if uvm else 1} {users} Live 0x0000000000000000 (O)")
        lines.append("nvidia_modeset 1814528 1 nvidia_drm, Live 0x0000000000000000 (O)")
        lines.append("nvidia_drm 135168 0 - Live 0x0000000000000000 (O)")
        lines += ["nvidia_uvm 4087808 4 - Live 0x0000000000000000 (O)"] if uvm else []
        for name in ("nvidia", "nvidia_modeset", "nvidia_drm", *(("nvidia_uvm",) if uvm else ())):
            machine.file(f"/sys/module/{name}/version", f"{version}\n")
    drivers = sorted({device.driver for device in host.pci if device.driver in ("vfio-pci", "mlx5_core", "tpu_common")})
    for driver in drivers:
        lines.append(f"{driver.replace('-', '_')} 16384 0 - Live 0x0000000000000000")
    machine.file("/proc/modules", "".join(f"{line}\n" for line in lines)).directory("/sys/module/kvm")


def _is_open(machine: Machine) -> bool:
    return b"Open Kernel Module" in machine.read_bytes("/proc/driver/nvidia/version", 4096)


def _driver(machine: Machine, version: str, *, open_module: bool) -> None:
    for name in _DRIVER:
        machine.file(f"{_LIBRARIES}/{name}.so.{version}", "", 0o644)
    for name in ("libcuda", "libnvidia-ml"):
        machine.link(f"{_LIBRARIES}/{name}.so.1", f"{name}.so.{version}")
    for name in ("libc.so.6", "libm.so.6", "libudev.so.1.7.2"):
        machine.file(f"{_LIBRARIES}/{name}", "", 0o644)
    for name in ("gsp_ga10x.bin", "gsp_tu10x.bin") if open_module else ("gsp_tu10x.bin",):
        machine.file(f"/lib/firmware/nvidia/{version}/{name}", "", 0o644)
    machine.file("/sys/module/firmware_class/parameters/path", "\n")


def _driver_log(host: Host) -> list[str]:
    assert host.nvidia is not None
    kind = "Open Kernel Module for x86_64" if host.nvidia.version > "540" else "x86_64 Kernel Module"
    lines = [
        "[   14.218801] nvidia: loading out-of-tree module taints kernel.",
        f"[   15.305717] nvidia-nvlink: Nvlink Core is being initialized, major device number {host.major_of('nvidia-nvlink') or 240}",
        f"[   15.894140] NVRM: loading NVIDIA UNIX {kind}  {host.nvidia.version}  Tue Apr  8 12:41:17 UTC 2025",
    ]
    uvm = host.major_of("nvidia-uvm")
    if uvm is not None:
        lines.append(f"[   21.443014] nvidia-uvm: Loaded the UVM driver, major device number {uvm}.")
    return lines
