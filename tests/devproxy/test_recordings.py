"""Every recorded host, in every mode: the plan builds the same root in memory and on the kernel, and verifying finds nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import pytest

import devproxy
from devproxy.build import Root, build
from devproxy.check.outcomes import check_outcomes
from devproxy.host.facts import Host
from devproxy.host.proc_devices import read_majors
from devproxy.host.root import HostRoot, LiveReader
from devproxy.node import OfDriver
from devproxy.plan.plan import Mode, Plan
from devproxy.plan.planner import plan
from devproxy.plan.steps import MakeNode, RequireNode
from tests.bundles import runc_spec_like, write_bundle
from tests.hosts.make import RECORDINGS

HOSTS: Final = {os.path.basename(path): devproxy.probe(path) for path in RECORDINGS}
EVERYTHING: Final = ["NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=all"]
SYS_ADMIN: Final = {"bounding": ["CAP_SYS_ADMIN"]}
MANAGING: Final = ["NVIDIA_MIG_CONFIG_DEVICES=all", "NVIDIA_MIG_MONITOR_DEVICES=all", "NVIDIA_IMEX_CHANNELS=all"]

# Every path of a driver that is recognised, with majors from another boot; the numbers below each are minors.
LISTED: Final = {
    "nvidia": {"/dev/nvidia0": 0, "/dev/nvidiactl": 255, "/dev/nvidia-modeset": 254},
    "nvidia-uvm": {"/dev/nvidia-uvm": 0, "/dev/nvidia-uvm-tools": 1},
    "nvidia-caps": {"/dev/nvidia-caps/nvidia-cap1": 1, "/dev/nvidia-caps/nvidia-cap282": 282},
    "nvidia-caps-imex-channels": {"/dev/nvidia-caps-imex-channels/channel2047": 2047},
    "nvidia-nvswitch": {"/dev/nvidia-nvswitch3": 3, "/dev/nvidia-nvswitchctl": 255},
    "nvidia-nvlink": {"/dev/nvidia-nvlink": 0},
}
STALE: Final = 3999


def planned(host: Host, directory: Path, *, mode: str = "auto", **changes: Any) -> Plan:
    bundle = write_bundle(directory / "bundle", runc_spec_like(**changes), rootfs="empty")
    return plan(devproxy.load(bundle), host, mode=mode)


def stale_devices() -> list[dict[str, Any]]:
    return [
        {"path": path, "type": "c", "major": STALE, "minor": minor}
        for minors in LISTED.values()
        for path, minor in minors.items()
    ]


BUNDLES: Final[dict[str, dict[str, Any]]] = {
    "none": {},
    "docker": {"process": {"env": EVERYTHING}},
    "docker, managing": {"process": {"env": [*EVERYTHING, *MANAGING], "capabilities": SYS_ADMIN}},
    "spec": {"linux": {"devices": stale_devices()}},
}


@pytest.mark.rows("S74", "S79", "H14", oracle="kernel")
@pytest.mark.root
@pytest.mark.parametrize("what", BUNDLES)
@pytest.mark.parametrize("name", HOSTS)
def test_memory_and_kernel_are_one(name: str, what: str, tmp_path: Path) -> None:
    made = planned(HOSTS[name], tmp_path, **BUNDLES[what])
    _skip_if_live(made)
    with build(made, "kernel") as kernel, build(made, "memory") as memory:
        assert comparable(kernel) == comparable(memory)
        report = devproxy.verify(made, kernel)
        assert report.findings == ()
        assert report.ok
        assert check_outcomes(kernel).findings == ()


def comparable(root: Root) -> list[tuple[str, str, str, bool]]:
    """The outcomes, without what proc and sysfs decide, and the majors that each target reserves for itself."""
    return [
        (outcome.step.describe(), outcome.result.value, _words(outcome.found), outcome.warning)
        for outcome in root.outcomes
        if not outcome.step.path.startswith(("/proc/", "/sys/"))
    ]


def _words(found: str) -> str:
    return "reserved" if "reserved" in found else found


def _skip_if_live(made: Plan) -> None:
    """A recorded number that reaches a driver of this machine is refused on the kernel, as it should be."""
    with LiveReader() as reader:
        live = {line.major for line in read_majors(HostRoot(reader))[0]}
    steps = [step for step in made.steps if isinstance(step, MakeNode | RequireNode)]
    majors = {made.host.major_of(step.identity.driver) for step in steps if isinstance(step.identity, OfDriver)}
    if majors & live:
        pytest.skip(f"majors {majors & live} are live on this machine")


# which nodes those are


@pytest.mark.rows("S72", "S78", "H11", oracle="specification")
@pytest.mark.parametrize("name", [name for name, host in HOSTS.items() if host.nvidia is not None])
def test_s72_each_driver_of_a_spec_has_the_hosts_major_or_one_that_is_reserved(name: str, tmp_path: Path) -> None:
    host = HOSTS[name]
    made = planned(host, tmp_path, **BUNDLES["spec"])
    assert made.mode is Mode.SPEC
    with build(made) as root:
        majors = {}
        for driver, minors in LISTED.items():
            found = {os.major(root.stat(path).st_rdev) for path in minors}
            assert [os.minor(root.stat(path).st_rdev) for path in minors] == list(minors.values())
            (majors[driver],) = found
        fixed = {driver: host.major_of(driver) for driver in LISTED if host.major_of(driver) is not None}
        assert {driver: majors[driver] for driver in fixed} == fixed
        # Without a driver, the fixed major of nvidia is the spec's word; the dynamic ones are nobody else's.
        others = [majors[driver] for driver in LISTED if driver not in fixed and driver != "nvidia"]
        assert len(set(others)) == len(others)
        assert not set(others) & {line.major for line in host.character}


@pytest.mark.rows("S77", "H11", oracle="specification")
def test_the_nodes_of_the_partitioned_host_are_the_hosts_own(tmp_path: Path) -> None:
    host = HOSTS["mig.tar"]
    made = planned(host, tmp_path, **BUNDLES["docker, managing"])
    with build(made) as root:
        for directory in ("/dev/nvidia-caps", "/dev/nvidia-caps-imex-channels"):
            assert root.stat(directory).st_mode & 0o7777 == 0o755
            theirs = {
                node.path: (node.number.rdev, node.mode) for node in host.nodes if node.path.startswith(f"{directory}/")
            }
            # Managing the fabric is nothing that the environment can ask for.
            theirs.pop("/dev/nvidia-caps/nvidia-cap4323", None)
            ours = {
                f"{directory}/{entry}": (found.st_rdev, found.st_mode & 0o7777)
                for entry in root.listdir(directory)
                for found in [root.stat(f"{directory}/{entry}")]
            }
            assert ours == theirs
            assert len(ours) >= 3


@pytest.mark.rows("H17", oracle="specification")
def test_h17_verbs_are_numbered_as_on_the_host(tmp_path: Path) -> None:
    host = HOSTS["host-8gpu.tar"]
    device = {"path": "/dev/infiniband/uverbs1", "type": "c", "major": STALE, "minor": 7}
    with build(planned(host, tmp_path, linux={"devices": [device]})) as root:
        assert root.stat("/dev/infiniband/uverbs1").st_rdev == os.makedev(231, 193)
