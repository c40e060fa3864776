"""The /dev of each container: its own, with links by number that lead to the nodes that have these numbers."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

import devproxy
from devproxy.build import Root
from devproxy.plan.plan import Plan
from tests.bundles import runc_spec_like, write_bundle
from tests.differential.cases import device, devices
from tests.hosts import host_with_gpus
from tests.roots import build_on

pytestmark = pytest.mark.root

TARGETS = ("memory", "kernel", "oldest kernel")
NODES = devices(
    device("/dev/loop7", "b", 7, 7),
    device("/dev/sub/deep/null", "c", 1, 3),
    {"path": "/dev/pipe", "type": "p"},
    device("/outside/zero", "c", 1, 5),
)


def planned(directory: Path) -> Plan:
    bundle = write_bundle(directory, runc_spec_like(root={"readonly": False}, **NODES))
    return devproxy.plan(devproxy.load(bundle), host_with_gpus())


def nodes(root: Root, path: str = "/dev") -> Iterator[tuple[str, os.stat_result]]:
    """The device nodes below a directory, but for devpts and what is mounted elsewhere."""
    for name in root.listdir(path):
        found = root.lstat(f"{path}/{name}")
        if stat.S_ISDIR(found.st_mode) and name not in ("pts", "mqueue", "shm"):
            yield from nodes(root, f"{path}/{name}")
        elif stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
            yield f"{path}/{name}", found


@pytest.mark.rows("S5", "S6", "H1", oracle="kernel")
@pytest.mark.parametrize("target", TARGETS)
def test_links_by_number_lead_to_the_nodes(target: str, tmp_path: Path) -> None:
    with build_on(planned(tmp_path), target) as root:
        found = dict(nodes(root))
        numbers = {
            f"/dev/{'char' if stat.S_ISCHR(each.st_mode) else 'block'}/{os.major(each.st_rdev)}:{os.minor(each.st_rdev)}"
            for each in found.values()
        }
        links = {f"/dev/{kind}/{name}" for kind in ("char", "block") for name in root.listdir(f"/dev/{kind}")}
        assert links == numbers
        assert {"/dev/char/1:3", "/dev/char/10:229", "/dev/block/7:7"} <= links
        for link in links:
            text = root.readlink(link)
            assert text.startswith("../")
            followed = root.stat(link)  # by the kernel itself, on its target
            assert followed == root.stat(f"/dev/{text.removeprefix('../')}")
            assert link.endswith(f"/{os.major(followed.st_rdev)}:{os.minor(followed.st_rdev)}")


@pytest.mark.rows("S8", oracle="kernel")
@pytest.mark.parametrize("target", TARGETS)
def test_each_container_has_a_dev_of_its_own(target: str, tmp_path: Path) -> None:
    before = sorted(os.listdir("/dev"))
    one, other = planned(tmp_path / "one"), planned(tmp_path / "other")
    with build_on(one, target) as first, build_on(other, target) as second:
        with first.open("/dev/mine", "wb") as file:
            file.write(b"x")
        assert "mine" in first.listdir("/dev")
        assert "mine" not in second.listdir("/dev")
        if target != "memory":
            devices = [root.stat("/dev").st_dev for root in (first, second)]
            assert len({*devices, os.stat("/dev").st_dev}) == 3
    assert sorted(os.listdir("/dev")) == before
