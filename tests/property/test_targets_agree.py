"""The plan that is simulated in memory is the plan that the kernel carries out: same outcomes, same view, same refusals.

Random images (directories, files, links that lead anywhere) under random mounts and devices, built on both targets.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import tempfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import devproxy
from devproxy.build import Root
from devproxy.errors import DevproxyError
from devproxy.host.facts import HostNode
from devproxy.node import DeviceNumber, NodeKind
from devproxy.plan.plan import Plan
from tests.bundles import runc_spec_like, write_bundle
from tests.differential.decisions import Difference, differences
from tests.differential.view import MountSeen, View, of_root
from tests.hosts import host_with_gpus
from tests.roots import build_on

pytestmark = [pytest.mark.root, pytest.mark.property]

# Not proc or sys: whether a mount point is there is for the kernel to say, and memory cannot know.
NAMES = st.sampled_from(["a", "b", "c", "dev", "tmp"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TARGETS = st.one_of(PATHS, PATHS.map("/{}".format), PATHS.map("../{}".format), st.just("/"), st.just("."))
IMAGE = st.dictionaries(PATHS, st.one_of(st.just("dir"), st.just("file"), TARGETS.map("link {}".format)), max_size=6)
DESTINATIONS = st.one_of(PATHS.map("/{}".format), PATHS.map("/../{}".format), st.just("/dev/shm"), st.just("/dev/x"))
MOUNTS = st.lists(
    st.one_of(
        st.tuples(DESTINATIONS, st.just("tmpfs"), st.sampled_from([[], ["ro"], ["mode=0711", "nosuid"], ["size=4k"]])),
        st.tuples(DESTINATIONS, st.sampled_from(["bind dir", "bind file"]), st.sampled_from([[], ["ro"], ["noexec"]])),
    ),
    max_size=4,
)
DEVICES = st.lists(
    st.tuples(
        st.one_of(DESTINATIONS, st.sampled_from(["/dev/nvidia-uvm", "/dev/null", "/dev/vfio/3"])),
        st.sampled_from([("c", 1, 3), ("c", 510, 0), ("b", 7, 1), ("p", 0, 0)]),
        st.sampled_from([None, 0o600, 0o644]),
    ),
    max_size=3,
)

# The group's number in its node's name is not the minor, and the spec does not know it.
HOST = host_with_gpus()._replace(
    nodes=(HostNode("/dev/vfio/3", NodeKind.CHARACTER, DeviceNumber(465, 0), 0o600, 0, 0),)
)


@pytest.mark.rows("S50", "S52", "S54", "S66", "S68", "S71", "H23", oracle="kernel")
@given(image=IMAGE, mounts=MOUNTS, devices=DEVICES, readonly=st.booleans(), cwd=DESTINATIONS)
def test_memory_and_kernel_agree(
    image: dict[str, str],
    mounts: list[tuple[str, str, list[str]]],
    devices: list[tuple[str, tuple[str, int, int], int | None]],
    readonly: bool,
    cwd: str,
) -> None:
    directory = tempfile.mkdtemp()
    try:
        config = _config(directory, mounts, devices)
        config["root"]["readonly"] = readonly
        config["process"]["cwd"] = cwd
        bundle = write_bundle(directory, config, rootfs="empty")
        _fill(os.path.join(bundle, "rootfs"), image)
        plan = devproxy.plan(devproxy.load(bundle), HOST)
        # Cleaned: "/.." leads onto what is mounted over the root, where nothing else does.
        asked = [*(f"/{path}" for path in image), *(mount[0] for mount in mounts), *(device[0] for device in devices)]
        paths = [posixpath.normpath(path) for path in asked]
        looks = []
        for target in ("memory", "kernel", "oldest kernel"):
            _make_sources(directory, len(mounts))
            looks.append(_look(plan, target, paths))
        memory, kernel, oldest = looks
        if isinstance(memory, str) or isinstance(kernel, str) or isinstance(oldest, str):
            assert memory == kernel == oldest
            return
        assert _comparable(memory[0]) == _comparable(kernel[0]) == _comparable(oldest[0])
        assert list(differences(kernel[1], oldest[1])) == []
        assert [d for d in differences(memory[1], kernel[1]) if not (_the_kernels(d.where) or _bound(d))] == []
    finally:
        shutil.rmtree(directory)


def _config(directory: str, mounts: list[Any], devices: list[Any]) -> dict[str, Any]:
    config = runc_spec_like()
    for number, (destination, kind, options) in enumerate(mounts):
        host = f"{directory}/host{number}"
        source = f"{host}/{kind[5:]}" if kind.startswith("bind") else "tmpfs"
        words = ["bind", *options] if kind.startswith("bind") else options
        config["mounts"].append(
            {"destination": destination, "type": kind.split()[0], "source": source, "options": words}
        )
    config["linux"]["devices"] = [
        {"path": path, "type": kind, "major": major, "minor": minor} | ({} if mode is None else {"fileMode": mode})
        for path, (kind, major, minor), mode in devices
    ]
    return config


def _make_sources(directory: str, count: int) -> None:
    """What is bound: a source for each mount, new for each build, as a kernel makes mount points in it that are then seen."""
    for number in range(count):
        host = f"{directory}/host{number}"
        shutil.rmtree(host, ignore_errors=True)
        os.makedirs(f"{host}/dir/a")
        open(f"{host}/file", "w").close()


def _fill(rootfs: str, image: dict[str, str]) -> None:
    for path, what in image.items():
        whole = os.path.join(rootfs, path)
        try:
            # Made through the rootfs's own links, which may lead out: those images are left to tests/attacks.
            if not os.path.realpath(os.path.dirname(whole)).startswith(os.path.realpath(rootfs)):
                continue
            os.makedirs(os.path.dirname(whole), exist_ok=True)
            if what == "dir":
                os.makedirs(whole, exist_ok=True)
            elif what == "file":
                os.close(os.open(whole, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
            else:
                os.symlink(what.removeprefix("link "), whole)
        except OSError:
            continue  # a path below a file or a link: the image is then without it


def _look(plan: Plan, target: str, paths: list[str]) -> str | tuple[Root, View]:
    try:
        with build_on(plan, target) as root:
            return root, of_root(root, paths)
    except DevproxyError as error:
        return error.message


def _comparable(root: Root) -> list[tuple[str, str, str]]:
    """The outcomes; those below /proc and /sys are decided by what lies there, which is the kernel's."""
    return [
        (outcome.step.describe(), outcome.result.value, outcome.found)
        for outcome in root.outcomes
        if not _the_kernels(getattr(outcome.step, "path", ""))
    ]


def _bound(difference: Difference) -> bool:
    """A bind shows the host's own file system on the kernel, and hostfs in memory."""
    ours, theirs = difference.ours, difference.theirs
    if not (isinstance(ours, MountSeen) and isinstance(theirs, MountSeen)):
        return False
    return ours.fstype == "hostfs" and ours._replace(fstype=theirs.fstype) == theirs


def _the_kernels(path: str) -> bool:
    return path.startswith(("/proc/", "/sys/"))
