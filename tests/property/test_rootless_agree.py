"""A plan that an ordinary user builds comes to the same in memory, when memory lacks what the user lacked."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import devproxy
from devproxy.build import build
from devproxy.check.outcomes import check_outcomes
from devproxy.errors import DevproxyError
from devproxy.host.probe import probe
from devproxy.outcome import Outcome
from devproxy.plan.plan import Plan
from devproxy.targets.rootless import Rootless
from tests.bundles import write_bundle
from tests.property.test_targets_agree import DESTINATIONS, IMAGE, _config, _fill
from tests.unprivileged import as_user

pytestmark = pytest.mark.property

OPTIONS = st.sampled_from([[], ["ro"], ["noexec"], ["noatime"], ["dev", "suid"], ["mode=0711", "uid=3"]])
MOUNTS = st.lists(
    st.tuples(DESTINATIONS, st.sampled_from(["tmpfs", "bind dir", "bind file"]), OPTIONS).filter(
        lambda mount: not (mount[1] != "tmpfs" and "uid=3" in mount[2])
    ),
    max_size=4,
)
NUMBERS = st.sampled_from([("c", 1, 3), ("c", 1, 5), ("c", 510, 0), ("b", 7, 99), ("p", 0, 0)])
PLACES = st.one_of(DESTINATIONS, st.sampled_from(["/dev/null", "/dev/full", "/dev/pipe"]))
DEVICES = st.lists(st.tuples(PLACES, NUMBERS, st.sampled_from([None, 0o600])), max_size=3)
NAMESPACES = st.lists(st.sampled_from(["pid", "network", "ipc", "uts"]), unique=True)
USERS = st.sampled_from([(0, 0), (5, 0), (0, 7)])


def test_memory_and_kernel_agree_on_what_cannot_be_had() -> None:
    def work(directory: Path) -> None:
        @settings(database=None)
        @given(st.tuples(IMAGE, MOUNTS, DEVICES, NAMESPACES, USERS, st.booleans()))
        def one(case: tuple[Any, ...]) -> None:
            with tempfile.TemporaryDirectory(dir=directory) as place:
                _compare(place, *case)

        one()

    as_user(work)


def _compare(
    directory: str,
    image: dict[str, str],
    mounts: list[Any],
    devices: list[Any],
    namespaces: list[str],
    owner: tuple[int, int],
    readonly: bool,
) -> None:
    config = _config(directory, mounts, devices)
    config["root"]["readonly"] = readonly
    config["linux"]["namespaces"] = [{"type": kind} for kind in ("mount", *namespaces)]
    for device in config["linux"]["devices"]:
        device |= {"uid": owner[0], "gid": owner[1]}
    if "uts" not in namespaces:
        del config["hostname"]
    bundle = write_bundle(directory, config, rootfs="empty")
    _fill(os.path.join(bundle, "rootfs"), image)
    plan = devproxy.plan(devproxy.load(bundle), probe())
    case = json.dumps([image, mounts, devices, namespaces, owner])
    lacking = Rootless(os.geteuid(), os.getegid(), frozenset(namespaces), {})
    for fstype, kind in (("proc", "pid"), ("sysfs", "network"), ("mqueue", "ipc")):
        if kind not in namespaces:
            lacking.refuse(fstype)
    # Memory first: the kernel makes missing mount points in what is bound.
    memory = _outcomes(plan, "memory", lacking)
    # Behind a link that a mount has hidden since, the checks look in vain, with and without root.
    kernel = _outcomes(plan, "kernel", checked=not any(what.startswith("link") for what in image.values()))
    assert _comparable(memory) == _comparable(kernel), case


def _outcomes(
    plan: Plan, target: str, rootless: Rootless | None = None, *, checked: bool = False
) -> tuple[Outcome, ...] | str:
    """What became of the steps, or the message; with `checked` nothing is found in the root either."""
    try:
        with build(plan, target, rootless=rootless) as root:
            if checked:
                reports = devproxy.verify(plan, root), check_outcomes(root)
                findings = [finding for report in reports for finding in report.findings]
                assert [f.describe() for f in findings if f.code != "outcome-differs"] == []
            return tuple(root.outcomes)
    except DevproxyError as error:
        return error.message


def _comparable(outcomes: tuple[Outcome, ...] | str) -> list[Any] | str:
    """Those below /proc and /sys are decided by what lies there, which is the kernel's."""
    if isinstance(outcomes, str):
        return outcomes
    return [tuple(outcome) for outcome in outcomes if not outcome.step.path.startswith(("/proc/", "/sys/"))]
