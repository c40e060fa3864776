"""What a sysfs in memory shows, beside runsc's (S81): names, modes, links and the lists of CPUs."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

import devproxy
from devproxy.build import Root
from tests.bundles import runc_spec_like, write_bundle
from tests.differential.peers import require, run

pytestmark = [pytest.mark.root, pytest.mark.peer]

_CPUS = "/sys/devices/system/cpu"
_SHOW = f"find /sys -exec stat -c '%n %f %u:%g %h' {{}} +; for f in online possible present; do cat {_CPUS}/$f; done"
# The network namespace's own devices, which sysfs in memory does not know; Linux gives the root of sysfs 0555.
_THEIRS_ALONE = ("/sys/class/net", "/sys ")


@pytest.mark.rows("S81", oracle="runsc")
def test_shows_what_runsc_shows(tmp_path: Path) -> None:
    config = runc_spec_like(linux={"maskedPaths": None, "readonlyPaths": None})
    config["process"]["args"] = ["sh", "-c", _SHOW]
    bundle = write_bundle(tmp_path / "bundle", config)
    flags = ["--root", str(tmp_path / "state"), "--network=none", "--ignore-cgroups", "--platform=ptrace"]
    code, out, err = run(require("runsc"), *flags, "run", "--bundle", bundle, f"devproxy-sysfs-{os.getpid()}")
    assert code == 0, err
    with devproxy.build(devproxy.plan(devproxy.load(bundle), devproxy.probe())) as root:
        ours = [*walk(root, "/sys"), *(root.read_bytes(f"{_CPUS}/{name}").decode().strip() for name in
                ("online", "possible", "present"))]  # fmt: skip
    # runsc of 2022 ends the lists of CPUs with two newlines.
    theirs = [line for line in out.splitlines() if line]
    assert len(theirs) > 20
    assert comparable(ours) == comparable(theirs)


def comparable(lines: list[str]) -> list[str]:
    return sorted(line for line in lines if not line.startswith(_THEIRS_ALONE))


def walk(root: Root, path: str) -> Iterator[str]:
    found = root.lstat(path)
    yield f"{path} {found.st_mode:x} {found.st_uid}:{found.st_gid} {found.st_nlink}"
    if stat.S_ISDIR(found.st_mode):
        for name in root.listdir(path):
            yield from walk(root, f"{path}/{name}")
