"""Nodes that a target makes in bulk are those that it makes one by one: same outcomes, same nodes and links, same refusals."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import devproxy
from devproxy.build import carry_out
from devproxy.errors import DevproxyError
from devproxy.outcome import from_plain, to_plain
from devproxy.plan.plan import Plan
from devproxy.targets.root import Root
from devproxy.targets.target import NewNode, Target
from tests.bundles import runc_spec_like, write_bundle
from tests.contract.targets.rig import HOST, in_memory, on_the_kernel

pytestmark = [pytest.mark.root, pytest.mark.property]

# Most are free names: one that cannot be made ends the build, and hides what comes behind it.
FREE = st.integers(0, 99).map("/dev/free/{}".format)
OTHERS = st.sampled_from(
    ["/dev/zero", "/dev/char/1:5", "/dev/char/7:1", "/made/in/the/image", "/file", "/file/x", "/dev"]
)
DEVICE = st.fixed_dictionaries(
    {"path": FREE, "type": st.sampled_from("cccbp"), "major": st.just(1), "minor": st.sampled_from([5, 5, 7])},
    optional={"fileMode": st.sampled_from([0o600, 0o666]), "uid": st.just(5), "gid": st.just(6)},
)
DEVICES = st.builds(
    lambda some, path, place: [*some[:place], *([{**some[0], "path": path}] if some and path else []), *some[place:]],
    st.lists(DEVICE, max_size=12, unique_by=lambda device: device["path"]),
    st.none() | OTHERS,
    st.integers(0, 12),
)


class OneByOne:
    """A target that makes no nodes in bulk."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    def make_nodes(self, nodes: Iterable[NewNode]) -> int:
        return 0


@given(devices=DEVICES)
def test_in_bulk_is_one_by_one(devices: list[dict[str, Any]]) -> None:
    directory = tempfile.mkdtemp()
    try:
        config = runc_spec_like()
        config["linux"]["devices"] = devices
        bundle = write_bundle(Path(directory), config, rootfs="empty")
        open(os.path.join(bundle, "rootfs/file"), "w").close()
        plan = devproxy.plan(devproxy.load(bundle), HOST)
        paths = {device["path"] for device in devices}
        looks = [_look(plan, build, paths, bulk=bulk) for build in (in_memory, on_the_kernel) for bulk in (True, False)]
        assert looks[0] == looks[1]
        assert looks[2] == looks[3]
    finally:
        shutil.rmtree(directory)


def _look(plan: Plan, build: Any, paths: Iterable[str], *, bulk: bool) -> Any:
    """The message, or the outcomes, what is at the paths, and where the links lead."""

    def work(target: Target) -> Any:
        one_by_one: Any = OneByOne(target)
        return to_plain(carry_out(plan, target if bulk else one_by_one))

    try:
        with build(work, plan.host) as (root, told):
            return tuple(from_plain(plan.steps, told)), [_seen(root, path) for path in sorted(paths)], _links(root)
    except DevproxyError as error:
        return error.message


def _seen(root: Root, path: str) -> tuple[int, ...] | None:
    try:
        found = root.lstat(path)
    except OSError:
        return None
    return found.st_mode, found.st_rdev, found.st_uid, found.st_gid


def _links(root: Root) -> list[tuple[str, tuple[int, ...] | None, str]]:
    links = []
    for directory in ("/dev/char", "/dev/block"):
        try:
            names = root.listdir(directory)
        except OSError:
            continue
        for name in names:
            path = f"{directory}/{name}"
            seen = _seen(root, path)
            is_link = seen is not None and seen[0] & 0o170000 == 0o120000
            links.append((path, seen, root.readlink(path) if is_link else ""))
    return links
