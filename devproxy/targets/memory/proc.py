"""What the proc of a root in memory says of the machine (S81, H26).

Only what is known of the host is told: its kernel's release, its CPUs, the parameters of its NVIDIA driver. Nothing runs there, so that times and loads are
zero, and nobody has counted its memory. The limits in sys are those that Linux begins with.
"""

from __future__ import annotations

import stat

from devproxy.host.nvidia import params_text
from devproxy.targets.memory.sysfs import parse_cpu_list
from vfs.fs.static import Synthetic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.facts import Host
    from vfs.fs.static import Tree

_PRESENT: Final = "/sys/devices/system/cpu/present"
_DIRECTORY: Final = Synthetic(stat.S_IFDIR | 0o555)
_DIRECTORIES: Final = ("bus", "fs", "irq", "sys", "sys/kernel", "sys/net", "sys/vm")
# include/uapi/linux/{sem,shm,msg}.h, and what the tables of sysctls begin with.
_SYS: Final = {
    "kernel/msgmax": "8192",
    "kernel/msgmnb": "16384",
    "kernel/msgmni": "32000",
    "kernel/ostype": "Linux",
    "kernel/sem": "32000\t1024000000\t500\t32000",
    "kernel/shmall": "18446744073692774399",
    "kernel/shmmax": "18446744073692774399",
    "kernel/shmmni": "4096",
    "vm/max_map_count": "65530",
    "vm/mmap_min_addr": "65536",
    "vm/overcommit_memory": "0",
}
_CONTROLLERS: Final = ("cpuset", "cpu", "cpuacct", "memory", "pids")
_WITHOUT_COUNTING: Final = ("MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapTotal", "SwapFree")


def proc_tree(host: Host) -> Tree:
    """What is in the root of every proc, beside the tasks and what the VFS knows itself."""
    present = next((entry.text for entry in host.sysfs if entry.path == _PRESENT), "")
    cpus = parse_cpu_list(present) or [0]
    texts = {
        "cgroups": _cgroups(),
        "cmdline": "\n",
        "cpuinfo": "".join(f"processor\t: {cpu}\n\n" for cpu in cpus),
        "loadavg": "0.00 0.00 0.00 0/1 1\n",
        "meminfo": "".join(f"{name + ':':16}{0:8} kB\n" for name in _WITHOUT_COUNTING),
        "stat": _stat(cpus),
        "uptime": "0.00 0.00\n",
        "version": f"Linux version {host.kernel}\n",
        "sys/kernel/osrelease": f"{host.kernel}\n",
        **{f"sys/{name}": f"{value}\n" for name, value in _SYS.items()},
    }
    if host.nvidia is not None and host.nvidia.params:
        # Of its other files the host's facts have a part each; this one is known whole, and containers with GPUs see another (H13).
        texts["driver/nvidia/params"] = params_text(host.nvidia.params)
    return [
        *((path, _DIRECTORY) for path in _DIRECTORIES),
        *((path, Synthetic(stat.S_IFREG | _mode(path), data=text.encode())) for path, text in texts.items()),
        ("net", Synthetic(stat.S_IFLNK | 0o777, target="self/net")),
    ]


def _mode(path: str) -> int:
    """Sysctls can be written, but for those that only tell."""
    return 0o644 if path.startswith("sys/") and path not in ("sys/kernel/osrelease", "sys/kernel/ostype") else 0o444


def _cgroups() -> str:
    """The controllers that cgroup mounts here can have, none of them in use elsewhere (cgroups(7))."""
    lines = [f"{name}\t0\t1\t1" for name in _CONTROLLERS]
    return "\n".join(["#subsys_name\thierarchy\tnum_cgroups\tenabled", *lines]) + "\n"


def _stat(cpus: list[int]) -> str:
    """No time has been spent (proc_stat(5))."""
    times = " 0" * 10
    lines = [f"cpu {times}", *(f"cpu{cpu}{times}" for cpu in cpus)]
    lines += ["intr 0", "ctxt 0", "btime 0", "processes 1", "procs_running 0", "procs_blocked 0"]
    return "\n".join(lines) + "\n"
