"""System calls that one more bind or node costs: a figure without noise (docs/architecture.md, "Budgets")."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from devproxy.process import find_program, run

pytestmark = [pytest.mark.root, pytest.mark.newest]

FEW, MANY = 10, 210


def calls(kind: str, count: int, directory: Path) -> int:
    strace = find_program("strace")
    if strace is None:
        pytest.skip("needs strace")
    report = directory / "report"
    module = "tests.devproxy.targets_kernel.many"
    done = run([strace, "-f", "-c", "-o", str(report), sys.executable, "-m", module, kind, str(count), str(directory)])
    assert done.code == 0, done
    total = report.read_text().splitlines()[-1].split()
    assert total[-1] == "total"
    return int(total[3])


@pytest.mark.parametrize(("kind", "budget"), [("file", 7), ("directory", 7), ("node", 4), ("owned", 5.5)])
def test_one_more_costs_a_few_system_calls(
    kind: str, budget: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    monkeypatch.chdir(Path(__file__).parents[3])
    each = (calls(kind, MANY, tmp_path) - calls(kind, FEW, tmp_path)) / (MANY - FEW)
    assert 2 < each <= budget
