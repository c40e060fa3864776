"""Who probes: ids, groups, capabilities, and whether in a user namespace that is not the machine's first."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Groups that own devices, as udev's rules and distributions name them.
_GROUPS: Final = ("video", "render", "vfio", "kvm", "accel")
_MOST_BYTES: Final = 1 << 20
# PROC_USER_INIT_INO, include/linux/proc_ns.h
_FIRST_USER_NAMESPACE: Final = "user:[4026531837]"
# include/uapi/linux/capability.h, in the order of their numbers.
_CAPABILITIES: Final = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip


def read() -> dict[str, object]:
    """`{"uid", "gid", "gids", "capabilities", "user_namespace", "groups"}`."""
    return {
        "capabilities": capabilities(_effective()),
        "gid": os.getegid(),
        "gids": sorted(os.getgroups()),
        "groups": _groups(),
        "uid": os.geteuid(),
        "user_namespace": os.readlink("/proc/self/ns/user") != _FIRST_USER_NAMESPACE,
    }


def capabilities(bits: int) -> list[str]:
    """The names of the capabilities in a set; those of newer kernels by number (`CAP_41`)."""
    known = len(_CAPABILITIES)
    return [f"CAP_{_CAPABILITIES[number] if number < known else number}" for number in range(64) if bits >> number & 1]


def groups_in(text: str) -> dict[str, int]:
    """The ids of groups that own devices, from /etc/group (group(5)): a name service may be far away."""
    found: dict[str, int] = {}
    for line in text.split("\n"):
        name, *rest = line.split(":")
        if name in _GROUPS and len(rest) >= 2 and rest[1].isascii() and rest[1].isdigit() and len(rest[1]) < 11:
            found.setdefault(name, int(rest[1]))
    return dict(sorted(found.items()))


def _groups() -> dict[str, int]:
    try:
        with open("/etc/group", "rb") as file:
            return groups_in(file.read(_MOST_BYTES).decode("utf-8", "replace"))
    except OSError:
        return {}


def _effective() -> int:
    with open("/proc/self/status", "rb") as file:
        line = next((line for line in file if line.startswith(b"CapEff:")), b"CapEff: 0")
    return int(line.split()[1], 16)
