"""cgroup mounts by configuration: in memory, on the kernel, and as runc makes them; nothing of the machine's can be written."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import devproxy
from devproxy.build import Root
from devproxy.errors import DevproxyError
from devproxy.linux.cgroups import hierarchies
from devproxy.linux.mountinfo import MountLine, parse_line
from devproxy.oci.configuration import Configuration, parse_configuration
from devproxy.outcome import Result
from tests.bundles import runc_spec_like, write_bundle
from tests.differential.peers import run, with_runc_raw
from tests.hosts import host_with_gpus

pytestmark = pytest.mark.root

PLACE = "/sys/fs/cgroup"
V1 = pytest.mark.skipif(not hierarchies(), reason="this machine has no cgroup hierarchy of version 1")


def configured(version: str) -> Configuration:
    return parse_configuration(None, [f"cgroupfs={version}"]).configuration


def config(options: str | None = None, *, namespace: bool = False) -> dict[str, Any]:
    """What `runc spec` writes, with other options for the cgroup mount."""
    document = runc_spec_like()
    if options is not None:
        mount = next(each for each in document["mounts"] if each["destination"] == PLACE)
        mount["options"] = options.split(",")
    if namespace:
        document["linux"]["namespaces"].append({"type": "cgroup"})
    document["process"]["args"] = ["cat", "/proc/self/mountinfo"]
    return document


def built(tmp_path: Path, version: str, target: str, document: dict[str, Any]) -> Root:
    bundle = write_bundle(tmp_path / target, document)
    plan = devproxy.plan(devproxy.load(bundle), host_with_gpus(), config=configured(version))
    return devproxy.build(plan, target)


Row = tuple[str, str, tuple[str, ...], list[str]]


def table(lines: list[MountLine]) -> list[Row]:
    """The cgroup mounts: point, type, flags, and what the file system shows but for its size."""
    return sorted(
        (line.mount_point, line.fstype, line.options, sorted(set(line.super_options) - {"rw", "xattr", "mode=755"}))
        for line in lines
        if line.mount_point.startswith(PLACE)
    )


@cache
def state() -> list[str]:
    """What the machine says about its cgroups: the hierarchies, and how each is mounted."""
    with open("/proc/self/cgroup") as groups, open("/proc/self/mountinfo") as mounts:
        return [*groups.read().splitlines(), *(line for line in mounts.read().splitlines() if " cgroup" in line)]


@pytest.fixture(autouse=True)
def machine_is_left_alone() -> Any:
    state.cache_clear()
    before = state()
    yield
    state.cache_clear()
    assert state() == before


@pytest.mark.rows("H25", oracle="kernel")
@pytest.mark.parametrize("version", ["none", pytest.param("v1", marks=V1), "v2"])
@pytest.mark.parametrize("namespace", [False, True])
@pytest.mark.parametrize("options", [None, "rw", "nosuid,rshared", "ro,rw,noexec"])
@pytest.mark.rows("S16", oracle="kernel")
def test_memory_shows_what_the_kernel_shows(tmp_path: Path, version: str, namespace: bool, options: str | None) -> None:
    document = config(options, namespace=namespace)
    with built(tmp_path, version, "memory", document) as memory, built(tmp_path, version, "kernel", document) as kernel:
        assert table(memory.mountinfo()) == table(kernel.mountinfo())
        points = [row[0] for row in table(kernel.mountinfo())]
        wanted = {
            "none": [],
            "v1": [PLACE, *sorted(f"{PLACE}/{each.directory}" for each in hierarchies())],
            "v2": [PLACE],
        }
        assert points == wanted[version]
        told = [
            [
                (outcome.result, outcome.warning)
                for outcome in root.outcomes
                if getattr(outcome.step, "path", "") == PLACE
            ]
            for root in (memory, kernel)
        ]
        assert told[0] == told[1] != []
        roots = {line.root for line in memory.mountinfo() if line.fstype.startswith("cgroup")}
        assert roots <= {"/"}
        for row in table(kernel.mountinfo()):
            if row[1] != "tmpfs":
                shown = [name for name in memory.listdir(row[0]) if "." in name or name == "tasks"]
                assert shown
                # The kernel shows the group that the caller is in: if that is not the root, it lacks the root's own files.
                assert set(shown) <= {*kernel.listdir(row[0]), "release_agent", "cgroup.sane_behavior"}, row


@pytest.mark.rows("H25", oracle="kernel")
@pytest.mark.parametrize("version", [pytest.param("v1", marks=V1), "v2"])
@pytest.mark.parametrize(
    ("options", "namespace", "writable"),
    [(None, True, False), ("nosuid", True, False), ("rw", False, False), ("rw", True, True)],
)
def test_cgroups_are_writable_only_where_asked_and_namespaced(
    tmp_path: Path, version: str, options: str | None, namespace: bool, writable: bool
) -> None:
    with built(tmp_path, version, "kernel", config(options, namespace=namespace)) as root:
        flags = {line.options[0] for line in root.mountinfo() if line.mount_point.startswith(PLACE)}
        assert flags == {"rw" if writable else "ro"}
        warned = [outcome for outcome in root.outcomes if outcome.warning and "cgroups" in outcome.step.describe()]
        assert bool(warned) == (options == "rw" and not writable)


@pytest.mark.rows("H25", oracle="runc")
@pytest.mark.peer
@V1
@pytest.mark.parametrize("namespace", [False, True])
@pytest.mark.rows("S16", oracle="runc")
def test_v1_is_what_runc_shows(tmp_path: Path, namespace: bool) -> None:
    document = config(namespace=namespace)
    theirs = with_runc_raw(write_bundle(tmp_path / "runc", document))
    ours, words = with_devproxy_raw(write_bundle(tmp_path / "devproxy", document))
    assert ours, words
    mine, runcs = (table([parse_line(line) for line in text.splitlines()]) for text in (ours, theirs))
    # runc 1.1 leaves the tmpfs itself writable.
    assert mine == [(point, fstype, ("ro", *flags[1:]), shown) for point, fstype, flags, shown in runcs]


def with_devproxy_raw(bundle: str) -> tuple[str, str]:
    """What the process prints under `devproxy run`, and what devproxy said."""
    _, out, err = run(sys.executable, "-m", "devproxy", "run", "--set", "cgroupfs=v1", bundle)
    return out, err


def test_a_machine_without_hierarchies_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devproxy.carry.carrier.hierarchies", list)
    with built(tmp_path, "v1", "memory", config()) as root:
        outcome = next(each for each in root.outcomes if getattr(each.step, "path", "") == PLACE)
        assert (outcome.result, outcome.warning) == (Result.SKIPPED, True)
        assert PLACE not in {line.mount_point for line in root.mountinfo()}


@pytest.mark.rows("H25", oracle="kernel")
def test_controllers_that_share_a_hierarchy_have_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from devproxy.linux.cgroups import Hierarchy

    monkeypatch.setattr("devproxy.carry.carrier.hierarchies", lambda: [Hierarchy("cpu,cpuacct", ("cpu", "cpuacct"))])
    with built(tmp_path, "v1", "memory", config()) as root:
        assert root.listdir(PLACE) == ["cpu", "cpu,cpuacct", "cpuacct"]
        assert root.readlink(f"{PLACE}/cpuacct") == "cpu,cpuacct"


def test_strict_refuses_what_is_not_writable(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, config("rw"))
    settings = parse_configuration(None, ["cgroupfs=v2", "strict=true"]).configuration
    with pytest.raises(DevproxyError, match="writing to the cgroups at /sys/fs/cgroup"):
        devproxy.plan(devproxy.load(bundle), host_with_gpus(), config=settings)
