"""A device of the live host that only its node knows: looked at in the host's /dev, here a private one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.bundles import runc_spec_like, write_bundle

pytestmark = pytest.mark.root

# A /dev of its own, in a mount namespace of its own: nothing is made in the machine's.
_PRIVATE_DEV = """
set -e
mount -t tmpfs -o mode=0755 dev /dev
mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/zero c 1 5; mknod -m 666 /dev/urandom c 1 9; mkdir /dev/vfio
mknod -m 600 /dev/vfio/7 c 470 3
exec "$@"
"""


def run_there(bundle: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`devproxy run`, on a host that has /dev/vfio/7 as 470:3."""
    command = [sys.executable, "-m", "devproxy", *arguments[:1], bundle, *arguments[1:]]
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", _PRIVATE_DEV, "sh", *command],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def listing(directory: Path, path: str) -> str:
    device = {"path": path, "type": "c", "major": 240, "minor": 7}
    return write_bundle(directory, runc_spec_like(linux={"devices": [device]}))


def test_the_live_nodes_number_is_the_containers(tmp_path: Path) -> None:
    bundle = listing(tmp_path, "/dev/vfio/7")
    done = run_there(bundle, "run", "--", "stat", "-c", "%t:%T %a", "/dev/vfio/7")
    assert (done.returncode, done.stdout) == (0, f"{470:x}:3 666\n"), done.stderr
    done = run_there(bundle, "verify")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_node_that_the_live_host_lacks_is_named_before_anything_starts(tmp_path: Path) -> None:
    done = run_there(listing(tmp_path, "/dev/vfio/8"), "run", "--", "true")
    assert done.returncode == 2
    assert "/dev/vfio/8 is to be like the host's /dev/vfio/8, which is missing" in done.stderr
    assert "Traceback" not in done.stderr
