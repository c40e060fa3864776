"""A rootfs whose links lead nowhere, on every target: what the outcomes say, and that both checks agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import devproxy
from devproxy.build import Root
from devproxy.check.outcomes import check_outcomes
from devproxy.check.verify import verify
from devproxy.outcome import Outcome, Result
from tests.bundles import runc_spec_like, write_bundle
from tests.hosts import host_with_gpus
from tests.roots import build_on

TARGETS = [pytest.param(name, marks=pytest.mark.root) for name in ("kernel", "oldest kernel")] + ["memory"]


def built(directory: Path, target: str, links: dict[str, str], **changes: Any) -> Root:
    bundle = Path(write_bundle(directory / "bundle", runc_spec_like(**changes)))
    for name, where in links.items():
        place = bundle / "rootfs" / name
        if place.is_dir():
            place.rmdir()
        place.symlink_to(where)
    plan = devproxy.plan(devproxy.load(str(bundle)), host_with_gpus())
    root = build_on(plan, target)
    if target != "memory":
        found = [
            finding.describe() for report in (verify(plan, root), check_outcomes(root)) for finding in report.findings
        ]
        assert found == []
    return root


def outcome(root: Root, words: str) -> Outcome:
    return next(outcome for outcome in root.outcomes if outcome.step.describe().startswith(words))


@pytest.mark.rows("S58", "S59", oracle="kernel")
@pytest.mark.parametrize("readonly", [True, False])
@pytest.mark.parametrize("target", TARGETS)
def test_the_internal_tmp_goes_where_a_link_to_nowhere_leads(target: str, readonly: bool, tmp_path: Path) -> None:
    with built(tmp_path, target, {"tmp": "/var/scratch"}, root={"readonly": readonly}) as root:
        assert outcome(root, "mount tmpfs at /tmp").found == "made /var"
        assert "/var/scratch" in {line.mount_point for line in root.mountinfo()}
        assert root.readlink("/tmp") == "/var/scratch"
        if readonly:
            assert outcome(root, "root").found == "overlay, because /tmp is missing"


@pytest.mark.rows("S58", "S59", oracle="kernel")
@pytest.mark.parametrize("readonly", [True, False])
@pytest.mark.parametrize("target", TARGETS)
def test_a_tmp_in_a_circle_is_left_alone(target: str, readonly: bool, tmp_path: Path) -> None:
    with built(tmp_path, target, {"tmp": "tmp"}, root={"readonly": readonly}) as root:
        assert outcome(root, "mount tmpfs at /tmp").found == "/tmp is a symbolic link that cannot be followed"
        assert not outcome(root, "mount tmpfs at /tmp").warning


@pytest.mark.rows("H26", oracle="kernel")
@pytest.mark.parametrize("target", TARGETS)
def test_the_working_directory_is_made_where_a_link_leads(target: str, tmp_path: Path) -> None:
    with built(tmp_path, target, {"work": "made/here"}, process={"cwd": "/work"}) as root:
        assert root.stat("/made/here").st_mode == 0o40755


@pytest.mark.rows("S57", "S58", oracle="kernel")
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("entries", "found"), [(("one",), "/tmp has an entry"), (("one", "two"), "/tmp has 2 entries")]
)
def test_a_tmp_with_something_in_it_stays(target: str, entries: tuple[str, ...], found: str, tmp_path: Path) -> None:
    for name in entries:
        (tmp_path / "bundle/rootfs/tmp" / name).mkdir(parents=True)
    with built(tmp_path, target, {}) as root:
        told = outcome(root, "mount tmpfs at /tmp")
        assert (told.result, told.found, told.warning) == (Result.SKIPPED, found, False)
        assert "/tmp" not in {line.mount_point for line in root.mountinfo()}
        assert root.listdir("/tmp") == list(entries)


@pytest.mark.parametrize("target", TARGETS)
def test_a_link_to_a_file_is_not_missing(target: str, tmp_path: Path) -> None:
    """A read-only root gets no overlay for it."""
    (tmp_path / "file").write_text("of the host\n")
    mount = {"destination": "/link", "type": "bind", "source": str(tmp_path / "file"), "options": ["bind"]}
    mounts = [*runc_spec_like()["mounts"], mount]
    with built(tmp_path, target, {"link": "bin/busybox"}, mounts=mounts, root={"readonly": True}) as root:
        assert "link" not in outcome(root, "root").found
        assert root.read_bytes("/bin/busybox") == b"of the host\n"
