"""Covered files are looked at in the root itself, by `verify` and by the look that `run` takes."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from devproxy.build import build
from devproxy.check.outcomes import check_outcomes
from devproxy.check.verify import verify
from devproxy.oci.load import load
from devproxy.outcome import Result
from devproxy.plan.plan import Plan
from devproxy.plan.planner import plan
from devproxy.plan.steps import Cover, MakeDirectory, Reason
from tests.bundles import runc_spec_like, write_bundle
from tests.devproxy.check.lying import Lies, changed, lying, made_up
from tests.hosts import host_with_gpus

OURS = "ours\n"


def covering(directory: Path, *paths: str) -> Plan:
    """A plan that covers files, put where the planner puts such steps: before rights are taken away."""
    bundle = write_bundle(directory / "bundle", runc_spec_like())
    (directory / "bundle" / "rootfs" / "etc" / "name").write_text("of the image\n")
    made = plan(load(bundle), host_with_gpus())
    covers = tuple(Cover(path, OURS, 0o444, Reason("test")) for path in paths)
    last = max(number for number, step in enumerate(made.steps) if isinstance(step, MakeDirectory)) + 1
    return made._replace(steps=(*made.steps[:last], *covers, *made.steps[last:]))


@pytest.mark.parametrize("target", [pytest.param("kernel", marks=pytest.mark.root), "memory"])
def test_a_covered_file_is_right_on_every_target(target: str, tmp_path: Path) -> None:
    planned = covering(tmp_path, "/etc/name", "/proc/version", "/etc/missing", "/proc/driver/nvidia/params")
    with build(planned, target) as root:
        report = verify(planned, root)
        assert report.findings == ()
        assert dict(report.compared)["covered files"] == 4
        assert check_outcomes(root).findings == ()
        results = {o.step.path: (o.result, o.found) for o in root.outcomes if isinstance(o.step, Cover)}
        assert results["/etc/name"] == (Result.DONE, "")
        assert results["/etc/missing"] == (Result.SKIPPED, "not there")
        if target == "kernel":
            assert results["/proc/version"] == (Result.DONE, "")
            assert root.read_bytes("/proc/version") == OURS.encode()
    assert (tmp_path / "bundle" / "rootfs" / "etc" / "name").read_text() == "of the image\n"


NAME = "/etc/name"
PLANTED: dict[str, Callable[[os.stat_result], Lies]] = {
    "other contents": lambda _: Lies(contents={NAME: b"theirs\n"}),
    "the same length": lambda _: Lies(contents={NAME: b"mine\n"}),
    "mode": lambda truth: Lies({NAME: changed(truth, mode=stat.S_IFREG | 0o644)}),
    "a device": lambda _: Lies({NAME: made_up(stat.S_IFCHR | 0o444)}),
    "not read-only": lambda _: Lies(
        mounts=lambda lines: [
            line._replace(options=("rw", *line.options[1:])) if line.mount_point == NAME else line for line in lines
        ]
    ),
    "uncovered": lambda _: Lies(
        contents={NAME: b"of the image\n"},
        mounts=lambda lines: [line for line in lines if line.mount_point != NAME],
    ),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_file_that_is_not_covered_as_planned_is_found(planted: str, tmp_path: Path) -> None:
    planned = covering(tmp_path, NAME)
    with build(planned, "memory") as root:
        found = verify(planned, lying(root, PLANTED[planted](root.stat(NAME)))).findings
        assert ("path-not-covered", NAME) in {(finding.code, finding.path) for finding in found}


def test_run_sees_that_a_cover_is_gone(tmp_path: Path) -> None:
    planned = covering(tmp_path, NAME)
    with build(planned, "memory") as root:
        found = check_outcomes(lying(root, PLANTED["uncovered"](root.stat(NAME)))).findings
        assert [(finding.code, finding.path) for finding in found] == [("mount-missing", NAME)]
