"""What `devproxy run` imports is a decision: a stable stand-in for its start-up time."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from devproxy.process import run
from tests.bundles import runc_spec_like, write_bundle

DEAR = {
    "asyncio",
    "dataclasses",
    "hypothesis",
    "inspect",
    "logging",
    "multiprocessing",
    "pathlib",
    "psutil",
    "pynvml",
    "pyudev",
    "shutil",
    "subprocess",
    "tarfile",
    "tempfile",
    "tomllib",
    "vfs",
}
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

PROGRAM = """
import json, os, sys
from devproxy.cli.main import main
code = main(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    json.dump({"code": code, "modules": sorted(sys.modules)}, file)
"""


def modules(directory: Path, *words: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after a command; editable installs and site are left out."""
    report = directory / "report.json"
    done = run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {ROOT!r})\n{PROGRAM}", str(report), *words]
    )
    told = json.loads(report.read_text())
    assert told["code"] == 0, done.err
    return set(told["modules"])


@pytest.mark.root
def test_the_hot_path_loads_nothing_dear(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", runc_spec_like(process={"args": ["true"]}))
    loaded = modules(tmp_path, "run", bundle)
    assert loaded & DEAR == set()
    assert not {name for name in loaded if name.startswith(("vfs.", "devproxy.targets.memory", "devproxy.bench"))}
    assert "devproxy.check.verify" not in loaded
    assert "devproxy.check.outcomes" in loaded
    assert not {name for name in loaded if name.endswith((".timeline", ".events", ".timings"))}


@pytest.mark.programs
def test_planning_needs_no_target_and_no_vfs(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", runc_spec_like(), rootfs="empty")
    loaded = modules(tmp_path, "plan", bundle)
    assert not {name for name in loaded if name.partition(".")[0] == "vfs" or name.startswith("devproxy.targets")}
