"""The key character-device-policy, from the configuration to a device of a bind (H21)."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

import devproxy
from devproxy.oci.configuration import Configuration
from tests.bundles import runc_spec_like, write_bundle
from tests.hosts import host_with_gpus

pytestmark = [pytest.mark.root, pytest.mark.rows("H21", oracle="kernel")]

# The numbers are those of every Linux (Documentation/admin-guide/devices.txt): 1:11 is the kernel's log, and no driver here.
NODES = {"null": (1, 3), "zero": (1, 5), "kmsg": (1, 11), "nobody": (42, 7)}


def opened(tmp_path: Path, policy: str, name: str, *, recorded: bool = False) -> bytes | int:
    """What the first read of a device of a bind says, or the errno of opening it."""
    source = tmp_path / "source"
    source.mkdir(exist_ok=True)
    node = source / name
    if not node.exists():
        os.mknod(node, stat.S_IFCHR | 0o600, os.makedev(*NODES[name]))
    config = runc_spec_like(mounts=[{"destination": "/s", "source": str(source), "options": ["bind", "dev"]}])
    spec = devproxy.load(write_bundle(tmp_path / "bundle", config, rootfs="empty"))
    host = host_with_gpus(simulated=recorded)
    plan = devproxy.plan(spec, host, config=Configuration(character_devices=policy))
    with devproxy.build(plan, "memory") as root:
        try:
            with root.open(f"/s/{name}", "rb", devices=True) as file:
                return bytes(file.read(4))
        except OSError as error:
            return error.errno or 0


@pytest.mark.parametrize("policy", ["emulated-only", "prefer-emulated", "passthrough"])
def test_a_number_that_has_a_driver_here_answers_always(tmp_path: Path, policy: str) -> None:
    assert opened(tmp_path, policy, "zero") == b"\0\0\0\0"
    assert opened(tmp_path, policy, "null") == b""


@pytest.mark.parametrize("policy", ["emulated-only", "prefer-emulated", "passthrough"])
def test_the_machine_answers_where_it_is_let(tmp_path: Path, policy: str) -> None:
    first = opened(tmp_path, policy, "kmsg")
    if policy == "emulated-only":
        assert first == errno.ENXIO
    else:
        assert first != errno.ENXIO


@pytest.mark.parametrize("policy", ["emulated-only", "prefer-emulated", "passthrough"])
def test_a_number_that_nobody_has_is_enxio(tmp_path: Path, policy: str) -> None:
    assert opened(tmp_path, policy, "nobody") == errno.ENXIO


def test_a_recorded_host_has_no_drivers_here(tmp_path: Path) -> None:
    assert opened(tmp_path, "passthrough", "kmsg", recorded=True) == errno.ENXIO
