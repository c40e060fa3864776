"""What the host or the kernel has, and a root in memory cannot know: no difference, or said to be unseen."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from devproxy.build import build
from devproxy.check.outcomes import check_outcomes
from devproxy.check.verify import verify
from devproxy.host.facts import Host
from devproxy.host.probe import probe
from devproxy.linux.mounts import MS_PRIVATE, set_propagation_of_everything
from devproxy.linux.namespaces import CLONE, unshare
from devproxy.oci.configuration import Configuration
from devproxy.oci.load import load
from devproxy.outcome import Result
from devproxy.plan.planner import plan
from tests.bundles import runc_spec_like, write_bundle
from tests.devproxy.check.test_verify_kernel import bind, compare, link, tmpfs, with_mounts
from tests.devproxy.linux.forked import in_child

pytestmark = pytest.mark.root


@pytest.fixture
def live() -> Host:
    return probe()


def test_what_a_mount_of_the_host_hides_is_not_compared_and_told(tmp_path: Path, live: Host) -> None:
    """Under a bind that is not recursive lies what the host's own mount hides: nobody sees its mode from outside."""
    proc = [mount for mount in runc_spec_like()["mounts"] if mount["type"] in ("proc", "sysfs")]
    for mounts, told in (([], True), ([tmpfs("/dev/shm", "mode=0711")], False)):
        config = runc_spec_like(mounts=[*proc, bind("/dev", "/dev", "bind"), *mounts])
        report = compare(plan(load(write_bundle(tmp_path / str(told), config)), live))
        assert report.findings == ()
        assert any("not compared" in note and "/dev/shm" in note for note in report.notes) is told


@pytest.mark.programs
@pytest.mark.parametrize("overlay", [True, False])
def test_a_mount_of_the_host_in_the_rootfs(overlay: bool, tmp_path: Path, live: Host) -> None:
    """It shows where the root is the directory itself: without overlays, or where nothing is missing."""
    bundle = with_mounts(tmp_path, bind("/mnt/x", "/usr"), root={"readonly": not overlay})
    below = Path(bundle, "rootfs", "mnt")
    below.mkdir(mode=0o755)

    def work() -> list[Any]:
        unshare(CLONE["mount"])
        set_propagation_of_everything(MS_PRIVATE)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0700", "tmpfs", below], check=True)
        if not overlay:
            (below / "x").mkdir()
        planned = plan(load(bundle), live)
        with build(planned, "kernel") as root:
            report = verify(planned, root)
            findings = [*report.findings, *check_outcomes(root).findings]
            return [root.outcomes[0].kept, [finding.describe() for finding in findings], " ".join(report.notes)]

    kept, findings, notes = in_child(work)
    assert findings == []
    assert kept is not overlay
    assert ("not compared" in notes) is overlay
    assert ("below recursive binds" in notes) is not overlay


def test_the_whole_host_as_the_root(tmp_path: Path, live: Host) -> None:
    config = runc_spec_like(root={"path": "/", "readonly": True})
    assert compare(plan(load(write_bundle(tmp_path / "bundle", config)), live)).findings == ()


@pytest.mark.parametrize("order", ["depth", "listed"])
@pytest.mark.parametrize(
    ("masked", "sealed"),
    [
        ([], ["/proc/bus", "/"]),
        ([], ["/"]),
        ([], ["/", "/proc/bus", "/"]),
        ([], ["/proc/bus", "/proc/sys/kernel", "/proc/sys", "/proc"]),
        (["/proc"], []),
        (["/proc/acpi", "/proc", "/sys"], []),
        (["/proc/acpi", "/proc"], ["/proc/bus", "/proc", "/"]),
        (["/proc/self/task", "/dev/shm"], ["/dev/shm", "/dev"]),
    ],
)
def test_masks_and_read_only_paths_one_in_the_other(
    order: str, masked: list[str], sealed: list[str], tmp_path: Path, live: Host
) -> None:
    linux = runc_spec_like()["linux"]
    for number, (masks, seals) in enumerate(
        [(masked, sealed), ([*linux["maskedPaths"], *masked], [*linux["readonlyPaths"], *sealed])]
    ):
        changed = {**linux, "maskedPaths": masks, "readonlyPaths": seals}
        bundle = with_mounts(tmp_path / str(number), tmpfs("/proc/sys/net"), linux=changed)
        assert compare(plan(load(bundle), live, config=Configuration(mount_order=order))).findings == ()


@pytest.mark.parametrize(
    "target",
    ["/proc", "/sys", "/sys/kernel", "/proc/fs", "/proc/sys", "/sys/fs/cgroup", "/dev/shm", "/dev/pts", "/dev/mqueue"],
)
def test_tmp_is_a_link_to_what_a_kernel_fills(target: str, tmp_path: Path, live: Host) -> None:
    bundle = with_mounts(tmp_path)
    link(Path(bundle, "rootfs"), "tmp", target)
    planned = plan(load(bundle), live)
    assert compare(planned).findings == ()
    with build(planned, "memory") as root:
        [tmp] = [outcome for outcome in root.outcomes if outcome.step.path == "/tmp"]
    if target in ("/proc", "/sys", "/sys/kernel"):
        assert tmp.result is Result.SKIPPED
    elif target.startswith("/dev"):
        assert (tmp.result is Result.SKIPPED) is (target == "/dev/pts")


@pytest.mark.rows("S36", oracle="kernel")
@pytest.mark.parametrize("target", ["memory", "kernel"])
@pytest.mark.parametrize("order", ["depth", "listed"])
def test_a_read_only_mount_may_lie_where_a_directory_is_masked(
    order: str, target: str, tmp_path: Path, live: Host
) -> None:
    """It is read-only by then: behind the mask it could not be found."""
    linux = {"maskedPaths": ["/x", "/x/in"], "readonlyPaths": []}
    bundle = with_mounts(tmp_path, tmpfs("/x/in", "ro"), linux=linux)
    planned = plan(load(bundle), live, config=Configuration(mount_order=order))
    with build(planned, target) as root:
        seals = [one.result for one in root.outcomes if one.step.describe() == "seal /x/in read-only"]
        assert seals == [Result.DONE]
        assert root.listdir("/x") == []
    assert compare(planned).findings == ()
