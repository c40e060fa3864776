"""Verification finds each planted difference, and names it; a root compared with itself has none."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devproxy.build import Root, build
from devproxy.check.finding import Severity
from devproxy.check.outcomes import check_outcomes
from devproxy.check.report_json import report_document
from devproxy.check.text import compared, rows, verdict
from devproxy.check.verify import verify
from devproxy.host.probe import probe
from devproxy.linux.mountinfo import MountLine
from devproxy.oci.load import load
from devproxy.outcome import Result
from devproxy.plan.plan import Plan
from devproxy.plan.planner import plan
from devproxy.plan.steps import MakeNode, MakeSymlink, Mask, SealPath
from tests.bundles import runc_spec_like, write_bundle
from tests.devproxy.check.lying import Lies, changed, lying, made_up

RECORDING = Path(__file__).parents[3] / "example" / "host-8gpu.tar"


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The root of a GPU container: eight GPUs, the mounts of `runc spec`, one bind."""
    directory = tmp_path_factory.mktemp("verify")
    (directory / "data").mkdir()
    config = runc_spec_like()
    config["process"]["env"].append("NVIDIA_VISIBLE_DEVICES=all")
    config["mounts"].append(
        {"destination": "/data", "type": "bind", "source": str(directory / "data"), "options": ["rbind", "nosuid"]}
    )
    config["linux"]["maskedPaths"] += ["/etc/secret", "/root"]
    config["linux"]["readonlyPaths"] += ["/bin"]
    bundle = write_bundle(directory / "bundle", config)
    (directory / "bundle" / "rootfs" / "etc" / "secret").write_text("hidden")
    return plan(load(bundle), probe(str(RECORDING)))


@pytest.fixture(scope="module")
def root(planned: Plan) -> Iterator[Root]:
    with build(planned, "memory") as built:
        yield built


def codes(planned: Plan, observed: Root) -> set[tuple[str, str]]:
    return {(finding.code, finding.path) for finding in verify(planned, observed).findings}


def test_a_root_compared_with_its_own_plan_has_no_differences(planned: Plan, root: Root) -> None:
    report = verify(planned, root)
    assert report.findings == ()
    assert report.ok
    assert report.exit_code == 0
    looked_at = dict(report.compared)
    assert looked_at["mounts"] >= 9
    assert looked_at["entries of /dev"] > 20
    assert looked_at["masked paths"] == 12
    assert check_outcomes(root).findings == ()


NULL = "/dev/null"
GPU = "/dev/nvidia3"

ENTRIES: dict[str, tuple[Callable[[Root], Lies], str, str]] = {
    "major": (lambda r: Lies({GPU: changed(r.lstat(GPU), rdev=os.makedev(196, 3))}), "node-major-mismatch", GPU),
    "minor": (lambda r: Lies({GPU: changed(r.lstat(GPU), rdev=os.makedev(195, 4))}), "node-number-wrong", GPU),
    "kind": (lambda r: Lies({GPU: made_up(stat.S_IFREG | 0o666)}), "node-kind-wrong", GPU),
    "block": (lambda r: Lies({NULL: made_up(stat.S_IFBLK | 0o666, os.makedev(1, 3))}), "node-kind-wrong", NULL),
    "missing": (lambda r: Lies(missing={GPU}), "entry-missing", GPU),
    "surplus": (
        lambda r: Lies({"/dev/mem": made_up(stat.S_IFCHR | 0o600, os.makedev(1, 1))}),
        "entry-unexpected",
        "/dev/mem",
    ),
    "mode": (lambda r: Lies({GPU: changed(r.lstat(GPU), mode=stat.S_IFCHR | 0o600)}), "mode-differs", GPU),
    "set-id": (lambda r: Lies({NULL: changed(r.lstat(NULL), mode=stat.S_IFCHR | 0o4666)}), "mode-differs", NULL),
    "owner": (lambda r: Lies({NULL: changed(r.lstat(NULL), uid=1)}), "owner-differs", NULL),
    "group": (lambda r: Lies({NULL: changed(r.lstat(NULL), gid=1)}), "owner-differs", NULL),
    "link": (lambda r: Lies(links={"/dev/fd": "/proc/1/fd"}), "link-differs", "/dev/fd"),
    "directory": (
        lambda r: Lies({"/dev/net": changed(r.lstat("/dev/net"), mode=stat.S_IFDIR)}),
        "mode-differs",
        "/dev/net",
    ),
    "named outside of /dev": (
        lambda r: Lies({"/data": changed(r.lstat("/data"), mode=stat.S_IFDIR | 0o1)}),
        "mode-differs",
        "/data",
    ),
    "refused": (lambda r: Lies(refused={GPU}), "unreadable", GPU),
    "directory refused": (lambda r: Lies(refused={"/dev"}), "unreadable", "/dev"),
    "mount table refused": (lambda r: Lies(refused={"/proc/self/mountinfo"}), "unreadable", "/proc/self/mountinfo"),
    "masked file": (
        lambda r: Lies({"/etc/secret": made_up(stat.S_IFREG | 0o644)}, contents={"/etc/secret": b"x"}),
        "path-not-masked",
        "/etc/secret",
    ),
    "masked by another device": (
        lambda r: Lies({"/etc/secret": made_up(stat.S_IFCHR | 0o666, os.makedev(1, 5))}),
        "path-not-masked",
        "/etc/secret",
    ),
    "masked directory": (lambda r: Lies({"/root/x": made_up(stat.S_IFREG)}), "path-not-masked", "/root"),
    "masked path refused": (lambda r: Lies(refused={"/root"}), "unreadable", "/root"),
}


@pytest.mark.parametrize("planted", ENTRIES)
def test_what_is_planted_at_a_path_is_found(planted: str, planned: Plan, root: Root) -> None:
    lies, code, path = ENTRIES[planted]
    found = codes(planned, lying(root, lies(root)))
    assert (code, path) in found
    # Nothing else is wrong, but for what follows from it: a directory that cannot be read hides what is in it.
    assert {where for _, where in found if not where.startswith(path.rstrip("/"))} == set()


def test_what_cannot_be_seen_is_inconclusive_and_never_fine(planned: Plan, root: Root) -> None:
    report = verify(planned, lying(root, Lies(refused={GPU})))
    assert report.inconclusive
    assert not report.ok
    assert report.exit_code == 4
    assert "EACCES" in report.findings[0].found


def test_what_cannot_be_seen_is_told_once(planned: Plan, root: Root) -> None:
    report = verify(planned, lying(root, Lies(refused={"/dev", "/dev/net"})))
    places = [finding.path for finding in report.findings]
    assert sorted(set(places)) == sorted(places)
    assert {"/dev", "/dev/net"} <= set(places)


def test_an_error_weighs_more_than_what_cannot_be_seen(planned: Plan, root: Root) -> None:
    report = verify(planned, lying(root, Lies(refused={GPU}, missing={NULL})))
    assert report.exit_code == 3


def at(point: str, **fields: object) -> Callable[[list[MountLine]], list[MountLine]]:
    return lambda lines: [line._replace(**fields) if line.mount_point == point else line for line in lines]  # type: ignore[arg-type]


def without(point: str) -> Callable[[list[MountLine]], list[MountLine]]:
    return lambda lines: [line for line in lines if line.mount_point != point]


def with_another(point: str, fstype: str = "tmpfs") -> Callable[[list[MountLine]], list[MountLine]]:
    line = MountLine(999, 1, "0:99", "/", point, ("rw", "relatime"), (), fstype, "none", ("rw",))
    return lambda lines: [
        *lines,
        line._replace(parent_id=next((below.mount_id for below in reversed(lines) if below.mount_point == point), 1)),
    ]


OWN = ("rw", "nosuid", "nodev", "noexec", "relatime")
MOUNTS = {
    "gone": (without("/dev/shm"), "mount-missing", "/dev/shm"),
    "proc gone": (without("/proc"), "mount-missing", "/proc"),
    "one more": (with_another("/opt"), "mount-unexpected", "/opt"),
    "stacked": (with_another("/dev"), "mount-unexpected", "/dev"),
    "inside proc": (with_another("/proc/self"), "mount-unexpected", "/proc/self"),
    "writable": (at("/sys", options=OWN, super_options=("rw",)), "mount-flags-differ", "/sys"),
    "executable": (at("/dev/shm", options=("rw", "nosuid", "nodev", "relatime")), "mount-flags-differ", "/dev/shm"),
    "a flag too many": (at("/proc", options=("rw", "noexec", "relatime")), "mount-flags-differ", "/proc"),
    "atime": (at("/dev/shm", options=("rw", "nosuid", "nodev", "noexec", "noatime")), "mount-flags-differ", "/dev/shm"),
    "superblock": (at("/dev/shm", super_options=("ro",)), "mount-flags-differ", "/dev/shm"),
    "bind": (at("/data", options=("rw", "relatime")), "mount-flags-differ", "/data"),
    "type": (at("/dev", fstype="ext4"), "mount-type-differs", "/dev"),
    "pseudo type": (at("/proc", fstype="sysfs"), "mount-type-differs", "/proc"),
    "unsealed": (at("/bin", options=("rw", "relatime")), "path-not-readonly", "/bin"),
    "unsealed mask": (at("/root", options=("rw", "relatime")), "path-not-masked", "/root"),
}


@pytest.mark.parametrize("planted", MOUNTS)
def test_what_is_planted_in_the_mount_table_is_found(planted: str, planned: Plan, root: Root) -> None:
    lie, code, point = MOUNTS[planted]
    assert (code, point) in codes(planned, lying(root, Lies(mounts=lie)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.property
@given(data=st.data())
def test_ids_devices_and_sources_are_no_difference(data: st.DataObject, planned: Plan, root: Root) -> None:
    first = data.draw(st.integers(min_value=100, max_value=10_000))
    device, source = data.draw(st.sampled_from(["8:1", "0:77"])), data.draw(st.text(max_size=3))

    def renumbered(lines: list[MountLine]) -> list[MountLine]:
        ids = {line.mount_id: first + 3 * n for n, line in enumerate(lines)}
        return [
            line._replace(
                mount_id=ids[line.mount_id],
                parent_id=ids.get(line.parent_id, 1),
                device=device,
                source=source,
                tags=("shared:1",),
            )
            for line in lines
        ]

    assert codes(planned, lying(root, Lies(mounts=renumbered))) == set()


def test_an_outcome_that_differs_is_told(planned: Plan, root: Root) -> None:
    outcomes = list(root.outcomes)
    tmp = next(n for n, outcome in enumerate(outcomes) if outcome.step.path == "/tmp")
    outcomes[tmp] = outcomes[tmp]._replace(result=Result.SKIPPED, found="/tmp has an entry")
    report = verify(planned, lying(root, Lies(), tuple(outcomes)))
    assert [(f.code, f.severity) for f in report.findings] == [("outcome-differs", Severity.ERROR)]


def test_words_that_differ_are_a_warning(planned: Plan, root: Root) -> None:
    outcomes = tuple(
        outcome._replace(found="otherwise") if outcome.step.path == "/data" else outcome for outcome in root.outcomes
    )
    report = verify(planned, lying(root, Lies(), outcomes))
    assert [(f.code, f.severity) for f in report.findings] == [("outcome-differs", Severity.WARNING)]
    assert report.ok


def test_what_is_masked_inside_proc_is_each_roots_own_business(planned: Plan, root: Root) -> None:
    """Which of these paths exist differs from kernel to kernel."""
    outcomes = tuple(
        outcome._replace(result=Result.SKIPPED, found="not there")
        if isinstance(outcome.step, Mask | SealPath) and outcome.step.path.startswith(("/proc", "/sys"))
        else outcome
        for outcome in root.outcomes
    )
    gone = {outcome.step.path for outcome in outcomes if outcome.found == "not there"}
    hidden = Lies(missing=gone, mounts=lambda lines: [line for line in lines if line.mount_point not in gone])
    assert codes(planned, lying(root, hidden, outcomes)) == set()


def test_a_path_that_was_missing_and_is_there_now_is_not_masked(planned: Plan, root: Root) -> None:
    outcomes = tuple(
        outcome._replace(result=Result.SKIPPED, found="not there") if outcome.step.path == "/etc/secret" else outcome
        for outcome in root.outcomes
    )
    found = codes(planned, lying(root, Lies({"/etc/secret": made_up(stat.S_IFREG)}), outcomes))
    assert ("path-not-masked", "/etc/secret") in found


def test_the_reason_of_the_step_says_why(planned: Plan, root: Root) -> None:
    [finding] = verify(planned, lying(root, Lies(missing={GPU}))).findings
    assert finding.why
    assert GPU in finding.describe()


# what run does before it executes

RUN_FINDS = ["major", "minor", "kind", "block", "missing", "mode", "owner", "link", "refused", "mount table refused"]


@pytest.mark.parametrize("planted", RUN_FINDS)
def test_a_root_held_to_its_outcomes_shows_what_is_planted(planted: str, root: Root) -> None:
    lies, code, path = ENTRIES[planted]
    assert [(f.code, f.path) for f in check_outcomes(lying(root, lies(root))).findings] == [(code, path)]


@pytest.mark.parametrize("planted", ["gone", "proc gone", "writable", "executable", "bind"])
def test_a_mount_that_is_not_what_the_outcomes_say_is_found(planted: str, root: Root) -> None:
    lie, code, point = MOUNTS[planted]
    found = {(f.code, f.path) for f in check_outcomes(lying(root, Lies(mounts=lie))).findings}
    assert (code, point) in found


def test_holding_a_root_to_its_outcomes_costs_one_lstat_a_node_and_no_walk(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    tree = lying(root, Lies())

    def lstat(path: str) -> os.stat_result:
        looked.append(path)
        return root.lstat(path)

    monkeypatch.setattr(tree.tree, "lstat", lstat)
    monkeypatch.setattr(tree.tree, "listdir", lambda path: pytest.fail(f"{path} was listed"))
    report = check_outcomes(tree)
    assert report.ok
    named = [outcome.step.path for outcome in root.outcomes if isinstance(outcome.step, MakeNode | MakeSymlink)]
    assert sorted(looked) == sorted(named)


# renderers


def test_a_report_as_json_and_as_text(planned: Plan, root: Root) -> None:
    report = verify(planned, lying(root, Lies(missing={GPU}, refused={NULL})))
    document = report_document(report)
    assert document["verdict"] == "error"
    fields = {"code", "severity", "path", "expected", "found", "why", "hint", "evidence", "reference"}
    assert fields == set(document["findings"][0])  # type: ignore[index]
    assert len(rows(report)) == len(report.findings)
    assert verdict(report) == "not as it should be: 1 error"
    assert "entries of /dev" in compared(report)
    assert verdict(verify(planned, root)) == "verified: no differences"
    assert "inconclusive" in verdict(verify(planned, lying(root, Lies(refused={NULL}))))
