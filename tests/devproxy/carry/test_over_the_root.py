"""An image whose links lead from a path of the bundle to the root itself: over that nobody sees a mount, so none is made; read-only
is what the root itself then is.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import devproxy
from devproxy.build import Root
from devproxy.check.outcomes import check_outcomes
from devproxy.check.verify import verify
from devproxy.cli.main import main
from devproxy.errors import DevproxyError
from devproxy.oci.configuration import Configuration
from devproxy.plan.plan import Plan
from tests.bundles import runc_spec_like, write_bundle
from tests.hosts import host_with_gpus
from tests.roots import build_on
from tests.saves import MemoryWorld

TARGETS = [pytest.param(name, marks=pytest.mark.root) for name in ("kernel", "oldest kernel")] + ["memory"]
LEFT_OUT = "leads to the root itself, over which nobody sees a mount"


def planned(directory: Path, mounts: list[dict[str, Any]], config: Configuration | None = None, **more: Any) -> Plan:
    bundle = runc_spec_like(**more)
    bundle["mounts"] += mounts
    path = Path(write_bundle(directory / "bundle", bundle))
    for name, where in (("mnt", "/"), ("up", ".."), ("again", "up/mnt")):
        (path / "rootfs" / name).symlink_to(where)
    return devproxy.plan(devproxy.load(str(path)), host_with_gpus(), config=config or Configuration())


def mount(destination: str, *options: str, source: Path | None = None) -> dict[str, Any]:
    kind = {"type": "tmpfs", "source": "tmpfs"} if source is None else {"type": "bind", "source": str(source)}
    words = list(options) if source is None else ["rbind", *options]
    return {"destination": destination, **kind, "options": words}


def told(root: Root, what: str) -> list[tuple[str, str, bool]]:
    """Of the outcomes about a path: what became of it, in which words, and whether it is a warning."""
    found = [outcome for outcome in root.outcomes if outcome.step.describe().startswith(what)]
    return [(outcome.result.value, outcome.found, outcome.warning) for outcome in found]


def assert_in_order(root: Root) -> None:
    reports = verify(root.plan, root), check_outcomes(root)
    assert [finding.describe() for report in reports for finding in report.findings] == []


@pytest.mark.rows("S50", "S52", oracle="kernel")
@pytest.mark.parametrize("options", [(), ("shared",), ("rslave", "rshared"), ("unbindable",), ("ro",)])
@pytest.mark.parametrize("destination", ["/mnt", "/up", "/again"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_mount_over_the_root_is_left_out(
    target: str, destination: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    source = tmp_path / "host"
    source.mkdir()
    mounts = [mount(destination, *options), mount(destination, *options, source=source)]
    with build_on(planned(tmp_path, mounts), target) as root:
        assert told(root, f"mount tmpfs at {destination}") == [("skipped", LEFT_OUT, True)]
        assert told(root, f"bind {source}") == [("skipped", LEFT_OUT, True)]
        assert [line.mount_point for line in root.mountinfo()].count("/") == 1
        if "ro" in options:
            assert told(root, f"seal {destination}") == [("skipped", "it was not mounted", False)]
        if target != "memory":
            assert_in_order(root)


@pytest.mark.parametrize("target", TARGETS)
def test_a_file_cannot_be_where_the_root_is(target: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    plan = planned(tmp_path, [mount("/mnt", source=tmp_path / "file")])
    with pytest.raises(DevproxyError, match=r"at /mnt .*: /mnt: is a directory \(mounts\[7\]\)"):
        build_on(plan, target)


@pytest.mark.parametrize("target", TARGETS)
def test_it_is_an_error_where_warnings_are(target: str, tmp_path: Path) -> None:
    # Nothing else of this bundle is a warning.
    strict = planned(tmp_path, [mount("/mnt", "shared")], Configuration(strict=True))
    with pytest.raises(DevproxyError, match=rf"mount tmpfs at /mnt .*: {LEFT_OUT}"):
        build_on(strict, target)


@pytest.mark.parametrize("path", ["/", "/mnt", "/again"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_read_only_path_that_is_the_root_makes_the_root_read_only(target: str, path: str, tmp_path: Path) -> None:
    """As runc has it: what is mounted below keeps its own rights (tests/differential, `the root as a read-only path`)."""
    plan = planned(tmp_path, [], root={"readonly": False}, linux={"readonlyPaths": [path], "maskedPaths": []})
    with build_on(plan, target) as root:
        assert told(root, f"read-only {path}") == [("done", "", False)]
        lines = {line.mount_point: line.options[0] for line in root.mountinfo()}
        assert (lines["/"], lines["/dev"], lines["/tmp"]) == ("ro", "rw", "rw")
        if target != "memory":
            assert_in_order(root)


@pytest.mark.parametrize("readonly", [True, False])
@pytest.mark.parametrize("path", ["/", "/mnt"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_mask_over_the_root_is_left_out_and_told(target: str, path: str, readonly: bool, tmp_path: Path) -> None:
    plan = planned(tmp_path, [], root={"readonly": readonly}, linux={"readonlyPaths": [], "maskedPaths": [path]})
    with build_on(plan, target) as root:
        assert told(root, f"mask {path}") == [("skipped", LEFT_OUT, True)]
        assert [line.options[0] for line in root.mountinfo() if line.mount_point == "/"] == ["ro" if readonly else "rw"]
        if target != "memory":
            assert_in_order(root)


@pytest.mark.rows("S73", oracle="specification")
def test_the_changes_of_the_root_below_are_saved(tmp_path: Path) -> None:
    plan = planned(tmp_path, [mount("/mnt")], root={"readonly": False})
    with devproxy.build(plan) as built:
        MemoryWorld(built).write("/new", 0, b"in the root")
        saved = built.save(str(tmp_path / "layer.tar"))
    assert saved.mounts == ("/", "/dev/shm", "/tmp")
    with devproxy.build(plan, restore=saved.file) as restored:
        assert restored.read_bytes("/new") == b"in the root"


@pytest.mark.root
def test_run_starts_the_process_and_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plan = planned(tmp_path, [mount("/mnt", "shared")], root={"readonly": False})
    assert main(["run", os.fspath(plan.bundle), "--", "ls", "-d", "/etc"]) == 0
    out, err = capfd.readouterr()
    assert out == "/etc\n"
    assert f"skipped: mount tmpfs at /mnt [shared]  ({LEFT_OUT})  # mounts[7]" in err
