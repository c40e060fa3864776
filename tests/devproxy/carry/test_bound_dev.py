"""A /dev, or a part of it, that is a bind: what is asked for is there already, or it is made in an overlay, or it is an error."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import devproxy
from devproxy.build import Root
from devproxy.check.outcomes import check_outcomes
from devproxy.check.verify import verify
from devproxy.errors import DevproxyError
from devproxy.host.facts import Host
from devproxy.oci.configuration import Configuration
from devproxy.overlay import Medium, Overlaid, Overlay, Overlay2
from devproxy.plan.plan import Plan
from devproxy.plan.steps import MakeNode, RequireNode
from tests.bundles import runc_spec_like, write_bundle
from tests.hosts import host_with_gpus
from tests.roots import build_on

pytestmark = pytest.mark.root

TARGETS = ("memory", "kernel", "oldest kernel")
ALL = Configuration(overlay2=Overlay2(Overlaid.ALL, Overlay(Medium.MEMORY)))
PLAIN = Configuration()
NODES = {"nvidiactl": (195, 255), "nvidia-uvm": (462, 0), "nvidia1": (195, 1)}
GPU_0: dict[str, Any] = {"process": {"env": ["PATH=/bin", "NVIDIA_VISIBLE_DEVICES=0"]}}
RECORDED_TPUS = Path(__file__).parents[2] / "hosts" / "tpu-v4.tar"


def dev_with(directory: Path, nodes: dict[str, tuple[int, int]]) -> Path:
    """A directory to bind, with these character devices."""
    dev = directory / "dev"
    dev.mkdir()
    for name, number in nodes.items():
        os.mknod(dev / name, 0o20640, os.makedev(*number))
    return dev


def planned(
    directory: Path,
    dev: Path,
    where: str = "/dev",
    config: Configuration = PLAIN,
    host: Host | None = None,
    **changes: Any,
) -> Plan:
    mount = {"destination": where, "type": "bind", "source": str(dev), "options": ["rbind", "rprivate"]}
    others = [each for each in runc_spec_like()["mounts"] if not f"{each['destination']}/".startswith(f"{where}/")]
    bundle = write_bundle(directory / "bundle", runc_spec_like(mounts=[*others, mount], **changes))
    return devproxy.plan(devproxy.load(bundle), host or host_with_gpus(), config=config)


def checked(plan: Plan, target: str) -> Root:
    root = build_on(plan, target)
    if target != "memory":
        reports = (verify(plan, root), check_outcomes(root))
        assert [finding.describe() for report in reports for finding in report.findings] == []
    return root


@pytest.mark.rows("S69", "S79", oracle="kernel")
@pytest.mark.parametrize("target", TARGETS)
def test_what_docker_mode_needs_is_there(target: str, tmp_path: Path) -> None:
    plan = planned(tmp_path, dev_with(tmp_path, NODES), **GPU_0)
    with checked(plan, target) as root:
        found = {o.step.path: o.step for o in root.outcomes if isinstance(o.step, RequireNode)}
        assert sorted(found) == ["/dev/nvidia-uvm", "/dev/nvidia1", "/dev/nvidiactl"]
        assert "GPU 0 at" in found["/dev/nvidia1"].reason.note
        assert "/dev is a bind" in found["/dev/nvidia1"].reason.note
        assert root.lstat("/dev/nvidia1").st_mode == 0o20640


@pytest.mark.rows("S69", "S71", oracle="kernel")
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ({**NODES, "nvidia1": (195, 0)}, "/dev/nvidia1 is character device 195:0, expected character device 195:1"),
        (
            {name: NODES[name] for name in ("nvidiactl", "nvidia-uvm")},
            "/dev/nvidia1 is missing, expected character device 195:1",
        ),
    ],
    ids=["another", "missing"],
)
def test_what_docker_mode_needs_is_not_there(
    target: str, nodes: dict[str, tuple[int, int]], words: str, tmp_path: Path
) -> None:
    with pytest.raises(DevproxyError) as caught:
        build_on(planned(tmp_path, dev_with(tmp_path, nodes), **GPU_0), target)
    assert words in caught.value.message
    assert "NVIDIA_VISIBLE_DEVICES" in caught.value.message


@pytest.mark.rows("S74", oracle="kernel")
@pytest.mark.parametrize("target", TARGETS)
def test_a_tpu_that_is_not_in_a_bound_dev(target: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"process": {"env": ["TPU_VISIBLE_CHIPS=0"]}}
    plan = planned(tmp_path, dev_with(tmp_path, {}), host=devproxy.probe(str(RECORDED_TPUS)), **changes)
    with pytest.raises(DevproxyError, match=r"/dev/accel0 is missing, expected character device"):
        build_on(plan, target)


@pytest.mark.parametrize("target", TARGETS)
def test_an_overlaid_dev_gets_what_it_lacks_and_its_source_nothing(target: str, tmp_path: Path) -> None:
    dev = dev_with(tmp_path, {"nvidiactl": (195, 255)})
    with checked(planned(tmp_path, dev, config=ALL, **GPU_0), target) as root:
        assert root.lstat("/dev/nvidia1").st_rdev == os.makedev(195, 1)
        assert root.lstat("/dev/nvidiactl").st_mode == 0o20640
        assert "fuse" not in root.listdir("/dev")  # what nobody asked for
    assert os.listdir(dev) == ["nvidiactl"]


@pytest.mark.rows("S71", oracle="kernel")
@pytest.mark.parametrize("target", TARGETS)
def test_a_device_of_the_spec_in_a_bind_elsewhere(target: str, tmp_path: Path) -> None:
    """runc makes it in the bind's source; devproxy only where that stays as it is."""
    dev = dev_with(tmp_path, {})
    linux: Any = {"devices": [{"path": "/d/null", "type": "c", "major": 1, "minor": 3}]}
    with checked(planned(tmp_path, dev, "/d", ALL, linux=linux), target) as root:
        assert root.lstat("/d/null").st_rdev == os.makedev(1, 3)
    assert os.listdir(dev) == []
    (tmp_path / "again").mkdir()
    with pytest.raises(DevproxyError, match="/d/null is missing") as caught:
        build_on(planned(tmp_path / "again", dev, "/d", linux=linux), target)
    assert "/d is a bind" in caught.value.message
    assert "overlay2=all:memory" in (caught.value.hint or "")
    assert os.listdir(dev) == []


@pytest.mark.rows("S69", oracle="kernel")
@pytest.mark.parametrize("target", TARGETS)
def test_ptmx_is_the_containers_own(target: str, tmp_path: Path) -> None:
    """`docker run --privileged` lists it; a node there would be the host's terminals."""
    devices = [{"path": "/dev/ptmx", "type": "c", "major": 5, "minor": minor} for minor in (2, 3)]
    bundle = write_bundle(tmp_path / "one", runc_spec_like(linux={"devices": devices[:1]}))
    with checked(devproxy.plan(devproxy.load(bundle), host_with_gpus()), target) as root:
        assert root.readlink("/dev/ptmx") == "pts/ptmx"
        (told,) = [o for o in root.outcomes if isinstance(o.step, MakeNode) and o.step.path == "/dev/ptmx"]
        assert told.found == "it is the link to pts/ptmx, that device of the container's own terminals"
        assert not told.warning
    bundle = write_bundle(tmp_path / "other", runc_spec_like(linux={"devices": devices}))
    with pytest.raises(DevproxyError, match="/dev/ptmx is a symbolic link to pts/ptmx, expected character device 5:3"):
        build_on(devproxy.plan(devproxy.load(bundle), host_with_gpus()), target)


@pytest.mark.parametrize("target", TARGETS)
def test_ptmx_in_a_bound_dev(target: str, tmp_path: Path) -> None:
    dev = dev_with(tmp_path, {})
    (dev / "pts").mkdir()
    (dev / "ptmx").symlink_to("pts/ptmx")
    linux: Any = {"devices": [{"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2}]}
    plan = planned(tmp_path, dev, linux=linux)
    with pytest.raises(DevproxyError, match="/dev/ptmx is a symbolic link to pts/ptmx"):
        build_on(plan, target)
    os.mknod(dev / "pts/ptmx", 0o20666, os.makedev(5, 2))
    with checked(plan, target) as root:
        assert root.readlink("/dev/ptmx") == "pts/ptmx"


def test_deeper_mounts_count(tmp_path: Path) -> None:
    """A GPU bound at its own place in a bound /dev is looked at there, after it is mounted."""
    dev = dev_with(tmp_path, NODES)
    plan = planned(tmp_path, dev, **GPU_0)
    kinds = [type(step) for step in plan.steps]
    assert kinds.index(RequireNode) > max(n for n, step in enumerate(plan.steps) if step.describe().startswith("bind "))
    assert MakeNode not in kinds
