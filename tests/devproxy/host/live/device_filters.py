"""The kernel's own device filters: a control group that denies every device, by version 1's list and by version 2's BPF."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_V1: Final = Path("/sys/fs/cgroup/devices")
_V2: Final = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
_BPF: Final = {"x86_64": 321, "aarch64": 280}[platform.machine()]
_LOAD, _ATTACH, _CGROUP_DEVICE, _TYPE_DEVICE = 5, 8, 15, 6


def ways() -> list[str]:
    """The versions that this machine has: one at least."""
    found = ["v1"] if (_V1 / "devices.deny").exists() or (_V1 / "cgroup.procs").exists() else []
    return found + (["v2"] if _unified() is not None else [])


@contextlib.contextmanager
def group_without_devices(way: str) -> Iterator[Path]:
    """A control group in which no device can be opened; processes enter it by its cgroup.procs."""
    above = _V1 if way == "v1" else _unified()
    assert above is not None
    group = above / f"devproxy-test-{os.getpid()}"
    group.mkdir()
    try:
        if way == "v1":
            (group / "devices.deny").write_text("a", encoding="ascii")
        else:
            _deny_by_bpf(group)
        yield group
    finally:
        group.rmdir()


def _unified() -> Path | None:
    return next((path for path in _V2 if (path / "cgroup.controllers").exists()), None)


def _deny_by_bpf(group: Path) -> None:
    """`return 0`, attached (bpf(2), BPF_PROG_TYPE_CGROUP_DEVICE)."""
    instructions = ctypes.create_string_buffer(struct.pack("=BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0), 16)
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    program = struct.pack(
        "=IIQQ", _CGROUP_DEVICE, 2, ctypes.addressof(instructions), ctypes.addressof(licence)
    )  # fmt: skip
    loaded = _call(_LOAD, program)
    descriptor = os.open(group, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _call(_ATTACH, struct.pack("=IIII", descriptor, loaded, _TYPE_DEVICE, 0))
    finally:
        os.close(descriptor)
        os.close(loaded)


def _call(command: int, attributes: bytes) -> int:
    data = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(_BPF, command, ctypes.byref(data), 128)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "bpf")
    return result
