"""What the proc of a root in memory says of the machine (S81, H26)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import devproxy
from devproxy.build import Root
from devproxy.host.probe import probe
from tests.bundles import runc_spec_like, write_bundle
from tests.hosts.make import RECORDINGS

pytestmark = pytest.mark.rows("S81", "H26", oracle="specification")

HOST = probe(next(path for path in RECORDINGS if os.path.basename(path) == "tpu-v4.tar"))


def built(tmp_path: Path, *options: str, **linux: Any) -> Root:
    mounts = [{"destination": "/proc", "type": "proc", "source": "proc", "options": list(options)}]
    config = runc_spec_like(mounts=mounts, linux=linux)
    return devproxy.build(devproxy.plan(devproxy.load(write_bundle(tmp_path, config, rootfs="empty")), HOST))


def test_what_is_known_of_the_host_is_told(tmp_path: Path) -> None:
    with built(tmp_path) as root:
        assert root.read_bytes("/proc/version") == f"Linux version {HOST.kernel}\n".encode()
        assert root.read_bytes("/proc/sys/kernel/osrelease") == f"{HOST.kernel}\n".encode()
        assert root.read_bytes("/proc/cpuinfo").count(b"processor") == 4
        assert root.read_bytes("/proc/stat").splitlines()[:2] == [b"cpu " + b" 0" * 10, b"cpu0" + b" 0" * 10]
        assert root.readlink("/proc/net") == "self/net"


def test_nothing_runs_and_nothing_is_written(tmp_path: Path) -> None:
    with built(tmp_path, readonlyPaths=None) as root:
        assert root.read_bytes("/proc/loadavg") == b"0.00 0.00 0.00 0/1 1\n"
        assert root.read_bytes("/proc/uptime") == b"0.00 0.00\n"
        with pytest.raises(PermissionError):
            root.open("/proc/sys/vm/overcommit_memory", "w")


def test_read_only_paths_hold_there_as_on_the_kernel(tmp_path: Path) -> None:
    paths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
    with built(tmp_path, readonlyPaths=paths) as root:
        sealed = {line.mount_point for line in root.mountinfo() if line.mount_point.startswith("/proc/")}
    assert sealed == {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"}


def test_tasks_alone_are_shown_where_that_is_asked_for(tmp_path: Path) -> None:
    with built(tmp_path, "subset=pid") as root:
        assert [name for name in root.listdir("/proc") if not name.isdigit()] == ["self", "thread-self"]
