"""Bundles to test with: a config.json like the one `runc spec` writes, and a rootfs that can run.

Everything here is a plain value that a test may change before it is written.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
from typing import Any

BUSYBOX = "/usr/bin/busybox"
APPLETS = [
    "sh",
    "ls",
    "cat",
    "stat",
    "true",
    "false",
    "sleep",
    "id",
    "mount",
    "umount",
    "env",
    "echo",
    "pwd",
    "test",
    "touch",
    "mkdir",
    "rm",
    "rmdir",
    "mknod",
    "ln",
    "readlink",
    "dd",
    "df",
    "head",
    "tail",
    "grep",
    "tr",
    "wc",
    "find",
    "printf",
    "kill",
    "ps",
    "hostname",
    "uname",
    "tty",
    "od",
    "cut",
    "sort",
    "chmod",
    "chown",
    "ulimit",
    "stty",
]

_CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]

_DOCUMENT: dict[str, Any] = {
    "ociVersion": "1.2.0",
    "process": {
        "terminal": False,
        "user": {"uid": 0, "gid": 0},
        "args": ["sh"],
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
        "cwd": "/",
        "capabilities": {
            "bounding": list(_CAPABILITIES),
            "effective": list(_CAPABILITIES),
            "permitted": list(_CAPABILITIES),
            "ambient": list(_CAPABILITIES),
        },
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
        "noNewPrivileges": True,
    },
    "root": {"path": "rootfs", "readonly": True},
    "hostname": "runc",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        },
        {
            "destination": "/dev/shm",
            "type": "tmpfs",
            "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        },
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
        {
            "destination": "/sys",
            "type": "sysfs",
            "source": "sysfs",
            "options": ["nosuid", "noexec", "nodev", "ro"],
        },
        {
            "destination": "/sys/fs/cgroup",
            "type": "cgroup",
            "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "relatime", "ro"],
        },
    ],
    "linux": {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
        "maskedPaths": [
            "/proc/acpi",
            "/proc/asound",
            "/proc/kcore",
            "/proc/keys",
            "/proc/latency_stats",
            "/proc/timer_list",
            "/proc/timer_stats",
            "/proc/sched_debug",
            "/sys/firmware",
            "/proc/scsi",
        ],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    },
}


def runc_spec_like(**changes: Any) -> dict[str, Any]:
    """A config.json as `runc spec` writes it, but without a terminal.

    A change replaces a member of the document: `mounts=[]`. Where both are objects (`root`, `process`, `linux`) the
    change is merged into it, one level deep: `process={"args": ["true"]}`. None removes the member.
    """
    document = copy.deepcopy(_DOCUMENT)
    _merge(document, changes)
    for key in ("process", "root", "linux"):
        if isinstance(document.get(key), dict):
            document[key] = {name: value for name, value in document[key].items() if value is not None}
    return document


def _merge(document: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if value is None:
            document.pop(key, None)
        elif isinstance(value, dict) and isinstance(document.get(key), dict):
            document[key] = {**document[key], **value}
        else:
            document[key] = value


def write_bundle(directory: str | os.PathLike[str], config: dict[str, Any], rootfs: str = "busybox") -> str:
    """Write config.json and a rootfs into `directory` (made if missing) and return its path.

    `rootfs` is `busybox` (a static /bin/busybox with its applets, and the usual empty directories) or `empty`.
    """
    bundle = os.path.abspath(directory)
    root = os.path.join(bundle, "rootfs")
    os.makedirs(root, exist_ok=True)
    if rootfs == "busybox":
        fill_with_busybox(root)
    elif rootfs != "empty":
        raise ValueError(f"rootfs is {rootfs!r}, expected 'busybox' or 'empty'")
    with open(os.path.join(bundle, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2)
    return bundle


def fill_with_busybox(root: str) -> None:
    """Put a static busybox with its applets into a root file system, and the directories that mounts go on."""
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp", "root"):
        os.makedirs(os.path.join(root, name), exist_ok=True)
    shutil.copy(BUSYBOX, os.path.join(root, "bin", "busybox"))
    for applet in APPLETS:
        link = os.path.join(root, "bin", applet)
        if not os.path.lexists(link):
            os.symlink("busybox", link)
