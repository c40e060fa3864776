"""What loading and planning import: start-up time is a budget, and modules are what it is spent on."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

DEAR = {
    "argparse", "contextvars", "ctypes", "dataclasses", "inspect", "logging", "pathlib", "shutil", "subprocess",
    "tempfile", "threading", "tomllib",
}  # fmt: skip

SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import devproxy.oci.load, devproxy.plan.planner, devproxy.oci.configuration
devproxy.oci.configuration.parse_configuration(None, ["strict=true"])
print("\\n".join(sys.modules))
"""


@pytest.mark.programs
def test_loading_and_planning_import_nothing_dear() -> None:
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", SCRIPT, root], capture_output=True, text=True, check=True, timeout=60
    )
    modules = set(found.stdout.split())
    assert "devproxy.plan.planner" in modules
    assert not modules & DEAR
