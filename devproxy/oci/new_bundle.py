"""A new bundle: the config.json that `runc spec` would write, with devices (H30)."""

from __future__ import annotations

import contextlib
import json
import os

from devproxy.errors import InputError
from devproxy.oci.json_file import ROOT
from devproxy.oci.json_path import quote_path
from devproxy.oci.load import load, parse_spec
from devproxy.oci.spec import Device, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Final

_CAPABILITIES: Final = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
# Destination, type, source, options.
_MOUNTS: Final = (
    ("/proc", "proc", "proc", ""),
    ("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
    ("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
    ("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),  # noqa: S108 (the container's)
    ("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
    ("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
    ("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
)
_MASKED: Final = (
    "acpi",
    "asound",
    "kcore",
    "keys",
    "latency_stats",
    "timer_list",
    "timer_stats",
    "sched_debug",
    "scsi",
)
_READONLY: Final = ("bus", "fs", "irq", "sys", "sysrq-trigger")


def write_bundle(directory: str, devices: Iterable[Device]) -> Spec:
    """Make a bundle in `directory`, which may exist, as may the rootfs in it, and return what loading it gives.

    Errors: InputError if there is a config.json already, or it cannot be written.
    """
    config = new_config(devices)
    # What would not load is not written.
    parse_spec(config, os.path.abspath(directory))
    path = os.path.join(directory, ROOT)
    try:
        os.makedirs(directory, exist_ok=True)
        _write_new(path, f"{json.dumps(config, indent=4)}\n".encode())
        with contextlib.suppress(FileExistsError):
            os.mkdir(os.path.join(directory, "rootfs"))
    except FileExistsError:
        raise InputError(
            f"{quote_path(path)} exists, expected none: a bundle is not written over",
            hint="name a new directory, or remove that one's config.json",
        ) from None
    except OSError as error:
        where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else path
        raise InputError(f"cannot write the bundle: {quote_path(where)}: {(error.strerror or '').lower()}") from None
    return load(directory)


def new_config(devices: Iterable[Device]) -> dict[str, Any]:
    """The document: a shell on a read-only root, with namespaces of its own and few capabilities."""
    listed = [device for device in devices if device.number is not None]
    return {
        "ociVersion": "1.2.0",
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {kind: list(_CAPABILITIES) for kind in ("bounding", "effective", "permitted", "ambient")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "devproxy",
        "mounts": [_mount(*mount) for mount in _MOUNTS],
        "linux": {
            "devices": [_device(device) for device in listed],
            "resources": {"devices": [{"allow": False, "access": "rwm"}, *map(_rule, listed)]},
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
            "maskedPaths": [*(f"/proc/{name}" for name in _MASKED), "/sys/firmware"],
            "readonlyPaths": [f"/proc/{name}" for name in _READONLY],
        },
    }


def _mount(destination: str, fstype: str, source: str, options: str) -> dict[str, Any]:
    mount: dict[str, Any] = {"destination": destination, "type": fstype, "source": source}
    return mount | ({"options": options.split(",")} if options else {})


def _device(device: Device) -> dict[str, Any]:
    return {"path": device.path} | _numbers(device) | {"fileMode": device.mode, "uid": device.uid, "gid": device.gid}


def _rule(device: Device) -> dict[str, Any]:
    return {"allow": True} | _numbers(device) | {"access": "rw"}


def _numbers(device: Device) -> dict[str, Any]:
    assert device.number is not None, "only devices with a number are listed"
    return {"type": device.kind.value, "major": device.number.major, "minor": device.number.minor}


def _write_new(path: str, data: bytes) -> None:
    """Write a file whole, or leave none. Errors: EEXIST for whatever is there, a link too."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
    except BaseException:
        os.unlink(path)
        raise
