"""What CI's script does with what it started, with programs in place of its own that do nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

TREE = Path(__file__).parents[1]
# Tests, and a lab, that take ten minutes: in a job of a shell's in the background they would not hear of an interrupt.
MAKEFILE = """\
run .venv/.dev oldest:
\t@true
test:
\t@sleep 600; true
lab:
\t@sleep 600; true
unit:
\t@true
"""
NOTHING = "#!/bin/sh\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of nothing but CI's script and what it calls."""
    for name in (".ci/run", "scripts/system-packages", "scripts/as-user", "hwtests/lab/packages"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(NOTHING)
        path.chmod(0o755)
    shutil.copy(TREE / ".ci/run", tmp_path / "tree/.ci/run")
    (tmp_path / "tree/Makefile").write_text(MAKEFILE)
    (tmp_path / "temporary").mkdir()
    return tmp_path / "tree"


def working_in(tree: Path) -> list[str]:
    """The commands of the processes that are in the tree."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if Path(os.readlink(f"/proc/{pid}/cwd")).is_relative_to(tree):
                found.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_ended_run_takes_everything_with_it(number: signal.Signals, tree: Path) -> None:
    temporary = tree.parent / "temporary"
    with subprocess.Popen([str(tree / ".ci/run")], env={**os.environ, "TMPDIR": str(temporary)}) as run:
        try:
            while sum(command.startswith("sleep") for command in working_in(tree)) < 2:
                assert run.poll() is None
                time.sleep(0.02)
            run.send_signal(number)
            assert run.wait(60) == 128 + number
        finally:
            run.kill()
    assert working_in(tree) == []
    assert os.listdir(temporary) == []


def test_the_code_is_that_of_what_failed(tree: Path) -> None:
    makefile = tree / "Makefile"
    for broken in ("test", "lab", "unit", "oldest", "nothing"):
        makefile.write_text("run .venv/.dev test oldest lab unit:\n\t@test $@ != " + broken + "\n")
        (tree / "scripts/as-user").write_text('#!/bin/sh\nexec "$@"\n')
        done = subprocess.run([str(tree / ".ci/run")], env=os.environ, capture_output=True, check=False, timeout=60)
        assert (done.returncode != 0) == (broken != "nothing"), broken
