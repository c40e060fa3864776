"""Recorded hosts with TPUs and other accelerators, all the way: planned, built in memory and on the kernel, compared."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from devproxy.build import Root, build
from devproxy.check.outcomes import check_outcomes
from devproxy.check.verify import verify
from devproxy.cli.main import main
from devproxy.host.probe import probe
from devproxy.oci.load import load
from devproxy.plan.plan import Plan
from devproxy.plan.planner import plan
from devproxy.plan.steps import MakeNode
from tests.bundles import runc_spec_like, write_bundle
from tests.hosts.make import RECORDINGS

HOSTS = {os.path.basename(path).removesuffix(".tar"): path for path in RECORDINGS}
PLAIN = set("null zero full random urandom tty fuse net/tun".split())  # noqa: SIM905

CASES = [
    pytest.param("tpu-v4", "TPU_VISIBLE_CHIPS=1,2", {"accel1": "121:1", "accel2": "121:2"}, id="accel"),
    pytest.param(
        "tpu-v5p",
        "TPU_VISIBLE_CHIPS=0,1,2,3",
        {"vfio/vfio": "10:196", "vfio/0": "465:2", "vfio/1": "465:1", "vfio/2": "465:3", "vfio/3": "465:0"},
        id="vfio",
    ),
    pytest.param("tpu-without-driver", "TPU_VISIBLE_CHIPS=0", {}, id="no-driver"),
    pytest.param("mixed", "TPU_VISIBLE_CHIPS=0", {}, id="mixed"),
]


def planned(directory: Path, name: str, *env: str, **linux: object) -> Plan:
    config = runc_spec_like(linux=linux) if linux else runc_spec_like()
    config["process"]["env"] += env
    return plan(load(write_bundle(directory, config)), probe(HOSTS[name]))


def accelerators(root: Root, path: str = "/dev") -> dict[str, str]:
    """The numbers of the devices in /dev that not every container has."""
    found = {}
    for name in root.listdir(path):
        entry = root.lstat(f"{path}/{name}")
        if os.path.basename(path) not in ("char", "block", "pts", "mqueue", "shm"):
            if entry.st_rdev:
                found[f"{path}/{name}".removeprefix("/dev/")] = f"{os.major(entry.st_rdev)}:{os.minor(entry.st_rdev)}"
            elif entry.st_mode & 0o170000 == 0o040000:
                found |= accelerators(root, f"{path}/{name}")
    return {name: number for name, number in found.items() if name not in PLAIN}


def told(root: Root) -> list[str]:
    return [o.describe() for o in root.outcomes if isinstance(o.step, MakeNode) and o.step.identity is not None]


@pytest.mark.rows("S74", oracle="specification")
@pytest.mark.parametrize(("name", "env", "expected"), CASES)
def test_memory_has_the_chips_and_no_other_accelerator(
    name: str, env: str, expected: dict[str, str], tmp_path: Path
) -> None:
    with build(planned(tmp_path, name, env)) as root:
        assert accelerators(root) == expected
        for path, number in expected.items():
            step = next(o for o in root.outcomes if o.step.path == f"/dev/{path}")
            assert step.found == ("" if path == "vfio/vfio" else f"{number} on the host")


@pytest.mark.rows("S74", "H14", oracle="kernel")
@pytest.mark.root
@pytest.mark.parametrize(("name", "env", "expected"), CASES)
def test_the_kernel_has_the_same_and_verifies(name: str, env: str, expected: dict[str, str], tmp_path: Path) -> None:
    todo = planned(tmp_path, name, env)
    with build(todo, "kernel") as root, build(todo) as memory:
        assert accelerators(root) == expected
        assert told(root) == told(memory)
        assert verify(todo, root).findings == ()
        assert check_outcomes(root).findings == ()


@pytest.mark.rows("H14", oracle="kernel")
@pytest.mark.root
def test_a_listed_npu_and_group_get_the_hosts_numbers_everywhere(tmp_path: Path) -> None:
    paths = ("/dev/accel/accel0", "/dev/vfio/96", "/dev/nvidia0")
    devices = [{"path": path, "type": "c", "major": 195, "minor": 0} for path in paths]
    todo = planned(tmp_path, "mixed", devices=devices)
    with build(todo, "kernel") as root, build(todo) as memory:
        assert accelerators(root) == {"accel/accel0": "261:0", "vfio/96": "465:0", "nvidia0": "195:0"}
        assert told(root) == told(memory)
        assert verify(todo, root).findings == ()


@pytest.mark.root
def test_what_verify_prints_names_the_chips_nodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planned(tmp_path, "tpu-v5p", "TPU_VISIBLE_CHIPS=3")
    assert main(["verify", os.fspath(tmp_path), "--host", HOSTS["tpu-v5p"], "--text"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["/dev/vfio/3", "465:0", "crw-rw-rw-", "vfio"] in [row[:4] for row in rows]


@pytest.mark.rows("S74", oracle="specification")
def test_opening_a_chip_in_memory_says_that_it_is_only_shown(tmp_path: Path) -> None:
    from devproxy.targets.memory.root import MemoryRoot
    from vfs.credentials import ROOT
    from vfs.options import OpenOptions
    from vfs.resolve import PathOperation

    with build(planned(tmp_path, "tpu-v5p", "TPU_VISIBLE_CHIPS=0")) as root:
        assert isinstance(root.tree, MemoryRoot)
        place = root.tree.namespace.root
        with pytest.raises(OSError, match=r"/dev/vfio/0 \(465:2\)") as caught:
            root.tree.vfs.open_at(ROOT, PathOperation(place, place, "/dev/vfio/0"), OpenOptions(os.O_RDWR))
        assert caught.value.errno == errno.ENXIO
