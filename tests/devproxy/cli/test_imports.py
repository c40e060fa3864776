"""What `devproxy run` imports is a decision: a stable stand-in for its start-up time."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from devproxy.process import run
from tests.bundles import runc_spec_like, write_bundle

# What `devproxy run` loads beside its own modules and what the interpreter starts with (-I -S): each is a decision.
ALLOWED = {
    "__future__",
    "_bisect",
    "_collections",  # built in; records are made with it
    "bisect",
    "_ctypes",  # the way to system calls
    "_struct",
    "struct",
    "_json",
    "_socket",
    "errno",
    "fcntl",
    "gc",
    "itertools",  # built in
    "resource",
}
# What importing them costs is in docs/decisions.md; the names are here so that a failure is understood.
DEAR = {
    "argparse",
    "asyncio",
    "collections",
    "contextlib",
    "ctypes",
    "dataclasses",
    "enum",
    "functools",
    "hypothesis",
    "inspect",
    "json",
    "logging",
    "multiprocessing",
    "pathlib",
    "psutil",
    "pynvml",
    "pyudev",
    "re",
    "shutil",
    "signal",
    "socket",
    "subprocess",
    "tarfile",
    "tempfile",
    "tomllib",
    "typing",
    "vfs",
}
# Each of devproxy's own modules costs a quarter of a millisecond.
OWN_AT_MOST = 117
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

PROGRAM = """
import sys
from devproxy.cli.main import main
code = main(sys.argv[2:])
loaded = sorted(sys.modules)
import json
with open(sys.argv[1], "w") as file:
    json.dump({"code": code, "modules": loaded}, file)
"""
# The same in Python: what `import devproxy` and its functions load.
IN_PROCESS = """
import sys
import devproxy
host = devproxy.probe()
with devproxy.build(devproxy.plan(devproxy.load(sys.argv[2]), host), "kernel") as root:
    code = devproxy.launch(root)
loaded = sorted(sys.modules)
import json
with open(sys.argv[1], "w") as file:
    json.dump({"code": code, "modules": loaded}, file)
"""
NOTHING = """
import os, sys
loaded = sorted(sys.modules)
import json
with open(sys.argv[1], "w") as file:
    json.dump({"code": 0, "modules": loaded}, file)
"""


def modules(directory: Path, *words: str, program: str = PROGRAM) -> set[str]:
    """The modules that a fresh interpreter has loaded after a command; editable installs and site are left out."""
    report = directory / "report.json"
    done = run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {ROOT!r})\n{program}", str(report), *words]
    )
    told = json.loads(report.read_text())
    assert told["code"] == 0, done.err
    return set(told["modules"])


def started(directory: Path) -> set[str]:
    return modules(directory, program=NOTHING)


@pytest.mark.root
def test_the_hot_path_loads_nothing_dear(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", runc_spec_like(process={"args": ["true"]}))
    loaded = modules(tmp_path, "run", bundle)
    assert loaded & DEAR == set()
    own = {name for name in loaded if name.partition(".")[0] == "devproxy"}
    assert loaded - own - started(tmp_path) <= ALLOWED
    assert len(own) <= OWN_AT_MOST, sorted(own)
    assert not {name for name in loaded if name.startswith(("vfs.", "devproxy.targets.memory", "devproxy.bench"))}
    assert "devproxy.check.verify" not in loaded
    assert "devproxy.check.outcomes" in loaded
    assert not {name for name in loaded if name.endswith((".timeline", ".events", ".timings"))}


@pytest.mark.programs
def test_planning_needs_no_target_and_no_vfs(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", runc_spec_like(), rootfs="empty")
    loaded = modules(tmp_path, "plan", bundle)
    assert not {name for name in loaded if name.partition(".")[0] == "vfs" or name.startswith("devproxy.targets")}


@pytest.mark.root
def test_the_functions_load_nothing_dear_either(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", runc_spec_like(process={"args": ["true"]}))
    loaded = modules(tmp_path, bundle, program=IN_PROCESS)
    assert loaded & DEAR == set()
    own = {name for name in loaded if name.partition(".")[0] == "devproxy"}
    assert loaded - own - started(tmp_path) <= ALLOWED
    assert not {name for name in own if name.startswith("devproxy.cli")}


@pytest.mark.root
def test_what_a_bundle_does_not_need_is_not_loaded(tmp_path: Path) -> None:
    """Nor what a machine does not have: of accelerators that are here, a part is loaded."""
    loaded = modules(tmp_path, "run", write_bundle(tmp_path / "b", runc_spec_like(process={"args": ["true"]})))
    later = {
        "cli.parser",
        "host.ask_nvml",
        "host.sources",
        "launch.terminal",
        "oci.overlay_layers",
        "plan.nvidia_docker",
        "plan.nvidia_mig",
        "plan.nvidia_params",
        "plan.tpu",
    }
    if not any(os.path.exists(path) for path in ("/proc/driver/nvidia", "/dev/accel0", "/dev/vfio", "/dev/accel")):
        later |= {"host.nvidia_caps", "host.tpu", "host.tpu_sysfs", "host.vfio"}
    assert loaded.isdisjoint(f"devproxy.{name}" for name in later)
