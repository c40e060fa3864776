"""The root of a proc in memory, beside that of runsc and of the kernel (S81, H26): names, kinds and modes."""

from __future__ import annotations

import stat
import uuid
from pathlib import Path

import pytest

import devproxy
from devproxy.build import Root
from tests.bundles import runc_spec_like, write_bundle
from tests.differential.peers import require, run, with_runc_raw

pytestmark = [pytest.mark.root, pytest.mark.peer]

_SHOW = "for name in /proc/*; do stat -c '%n %f' $name; done"
# gVisor's own, and the process that looks.
_THEIRS_ALONE = ("sentry-meminfo", "1", "2")


def bundle(directory: Path) -> str:
    config = runc_spec_like(linux={"maskedPaths": None, "readonlyPaths": None})
    config["process"]["args"] = ["sh", "-c", _SHOW]
    return write_bundle(directory, config)


def in_memory(path: str) -> Root:
    return devproxy.build(devproxy.plan(devproxy.load(path), devproxy.probe()))


def modes(text: str) -> dict[str, int]:
    rows = [line.split() for line in text.splitlines() if line.startswith("/proc/")]
    return {name.removeprefix("/proc/"): int(mode, 16) for name, mode in rows}


def ours(root: Root) -> dict[str, int]:
    return {name: root.lstat(f"/proc/{name}").st_mode for name in root.listdir("/proc") if not name.isdigit()}


@pytest.mark.rows("S81", "H26", oracle="runsc")
def test_what_runsc_has_is_there_and_of_the_same_kind(tmp_path: Path) -> None:
    flags = ["--root", str(tmp_path / "state"), "--network=none", "--ignore-cgroups", "--platform=ptrace"]
    name = f"devproxy-{uuid.uuid4().hex[:12]}"
    code, out, err = run(require("runsc"), *flags, "run", "--bundle", bundle(tmp_path / "runsc"), name)
    assert code == 0, err
    theirs = {name: mode for name, mode in modes(out).items() if not name.isdigit() and name not in _THEIRS_ALONE}
    assert len(theirs) > 10
    with in_memory(bundle(tmp_path / "memory")) as root:
        mine = ours(root)
    assert {name: stat.S_IFMT(mine.get(name, 0)) for name in theirs} == {
        name: stat.S_IFMT(mode) for name, mode in theirs.items()
    }


@pytest.mark.rows("S81", "H26", oracle="runc")
def test_what_is_there_the_kernel_has_with_the_same_mode(tmp_path: Path) -> None:
    theirs = modes(with_runc_raw(bundle(tmp_path / "runc")))
    with in_memory(bundle(tmp_path / "memory")) as root:
        mine = ours(root)
        assert {name: oct(mode) for name, mode in mine.items()} == {name: oct(theirs.get(name, 0)) for name in mine}
        for path in ("sys/kernel/sem", "sys/kernel/osrelease", "sys/kernel/ostype", "sys/vm/max_map_count", "version"):
            kernels = Path(f"/proc/{path}")
            assert root.lstat(f"/proc/{path}").st_mode == kernels.stat().st_mode
        for path in ("sys/kernel/osrelease", "sys/kernel/ostype"):
            assert root.read_bytes(f"/proc/{path}") == Path(f"/proc/{path}").read_bytes()
