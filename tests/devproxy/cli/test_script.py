"""The script that is installed: it loads nothing but what `devproxy` itself starts with."""

from __future__ import annotations

import os
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from devproxy.process import run
from tests.devproxy.cli.test_imports import DEAR, ROOT

HOME = Path(ROOT)
SCRIPT = HOME / "scripts" / "devproxy"


def test_it_is_what_is_installed_as_devproxy() -> None:
    project = tomllib.loads((HOME / "pyproject.toml").read_text())
    scripts = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-scripts"]
    assert scripts == {"scripts/devproxy": "devproxy"}
    assert "scripts" not in project["project"]
    assert os.access(SCRIPT, os.X_OK)
    # Installers put their own Python in place of one that is called so (binary distribution format, "Installing wheels").
    assert SCRIPT.read_text().startswith("#!/usr/bin/env python3\n")


@pytest.mark.programs
def test_it_is_the_command_and_loads_nothing_dear_before_it() -> None:
    """What a verb loads is its own matter: what comes before it is looked at."""
    environment = {**os.environ, "PYTHONPATH": ROOT}
    done = run([sys.executable, "-S", "-X", "importtime", str(SCRIPT), "completion", "bash"], env=environment)
    assert done.code == 0
    assert "complete -F _devproxy devproxy" in done.out
    loaded = [line.rpartition("|")[2].strip() for line in done.err.splitlines()]
    assert DEAR.isdisjoint(loaded[: loaded.index("devproxy.cli.main")])


@pytest.mark.programs
@pytest.mark.parametrize("options", [[], ["-P"]])
def test_nothing_beside_it_passes_for_a_module(tmp_path: Path, options: list[str]) -> None:
    script = str(shutil.copy(SCRIPT, tmp_path))
    (tmp_path / "argparse.py").write_text("raise SystemExit('loaded from among the programs')\n")
    done = run([sys.executable, *options, script, "completion", "bash"], env={**os.environ, "PYTHONPATH": ROOT})
    assert (done.code, done.err) == (0, "")
