"""Bundles to measure with: a program that does nothing, in a root like the one that `runc spec` describes."""

from __future__ import annotations

import json
import os
import platform
import struct

# exit_group(0): mov eax,231; xor edi,edi; syscall / mov x8,#94; mov x0,#0; svc #0. The first number is e_machine (elf(5)).
_PROGRAMS = {
    "x86_64": (62, bytes.fromhex("b8e700000031ff0f05")),
    "aarch64": (183, bytes.fromhex("c80b8052000080d2010000d4")),
}
_BASE = 0x400000


def do_nothing() -> bytes | None:
    """A static program that ends at once, so that what is measured is the root; None for a machine without one here."""
    known = _PROGRAMS.get(platform.machine())
    if known is None:
        return None
    machine, code = known
    start = 64 + 56
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, _BASE + start, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, start + len(code), start + len(code), 0x1000)
    return header + segment + code


def write_bundle(
    directory: str,
    program: bytes,
    *,
    binds: int = 0,
    nodes: int = 0,
) -> str:
    """A bundle with `binds` read-only binds of one directory and `nodes` device nodes (all of them the null device)."""
    rootfs = os.path.join(directory, "rootfs")
    for place in ("proc", "dev", "sys", "tmp", "bin", "binds"):
        os.makedirs(os.path.join(rootfs, place))
    path = os.path.join(rootfs, "bin", "true")
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o755), "wb") as file:
        file.write(program)
    source = os.path.join(directory, "source")
    os.mkdir(source)
    for number in range(binds):
        os.mkdir(os.path.join(rootfs, "binds", str(number)))
    with open(os.path.join(directory, "config.json"), "w", encoding="utf-8") as file:
        json.dump(_config(source, binds, nodes), file)
    return directory


def _config(source: str, binds: int, nodes: int) -> dict[str, object]:
    """What `runc spec` writes, without a terminal, a cgroup mount and limits."""
    own = ["nosuid", "noexec", "nodev"]
    mounts = [
        _mount("/proc", "proc", []),
        _mount("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
        _mount("/dev/shm", "tmpfs", [*own, "mode=1777", "size=65536k"]),  # noqa: S108 (a place in the container)
        _mount("/dev/mqueue", "mqueue", own),
        _mount("/sys", "sysfs", [*own, "ro"]),
    ]
    mounts += [
        {"destination": f"/binds/{n}", "type": "bind", "source": source, "options": ["bind", "ro"]}
        for n in range(binds)
    ]
    masked = ["acpi", "asound", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "scsi"]
    return {
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/true"], "cwd": "/", "noNewPrivileges": True},
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "bench",
        "mounts": mounts,
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
            "devices": [
                {"path": f"/dev/bench/{n}", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}
                for n in range(nodes)
            ],
            "maskedPaths": [*(f"/proc/{name}" for name in masked), "/sys/firmware"],
            "readonlyPaths": [f"/proc/{name}" for name in ("bus", "fs", "irq", "sys", "sysrq-trigger")],
        },
    }


def _mount(destination: str, fstype: str, options: list[str]) -> dict[str, object]:
    return {"destination": destination, "type": fstype, "source": fstype, "options": options}
