"""The example bundle, which `make run` uses: it needs no download, and an ordinary runtime runs it too."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from devproxy.host.probe import probe
from devproxy.process import find_program, run

EXAMPLE = Path(__file__).parents[2] / "example"


def test_its_root_is_only_the_links_into_usr() -> None:
    root = EXAMPLE / "bundle" / "rootfs"
    assert {entry.name: os.readlink(entry) for entry in os.scandir(root)} == {
        name: f"usr/{name}" for name in ("bin", "lib", "lib64", "sbin")
    }


def test_it_asks_for_all_gpus_however_many_a_host_has() -> None:
    env = json.loads((EXAMPLE / "bundle" / "config.json").read_bytes())["process"]["env"]
    (wanted,) = [value.partition("=")[2] for value in env if value.startswith("NVIDIA_VISIBLE_DEVICES=")]
    nvidia = probe(str(EXAMPLE / "host-8gpu.tar")).nvidia
    assert nvidia is not None
    assert (wanted, len(nvidia.gpus)) == ("all", 8)


@pytest.mark.root
@pytest.mark.peer
def test_runc_runs_it(tmp_path: Path) -> None:
    if find_program("runc") is None:
        pytest.skip("runc is not installed")
    # runc makes missing mount points in the root itself: it gets a copy.
    bundle = tmp_path / "bundle"
    shutil.copytree(EXAMPLE / "bundle", bundle, symlinks=True)
    name = f"devproxy-example-{os.getpid()}"
    done = run(["runc", "--root", str(tmp_path / "state"), "run", "--bundle", str(bundle), name])
    assert "Inside devproxy" in done.out
    assert "/usr" in {line.split()[0] for line in done.out.splitlines() if line.startswith("  /")}
    assert "urandom" in done.out
