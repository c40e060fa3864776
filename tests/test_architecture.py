"""The house as docs/architecture.md draws it: what no reviewer should have to check by hand."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.api import read_configuration
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parent.parent
SOURCES = sorted(path for package in ("vfs", "devproxy") for path in (ROOT / package).rglob("*.py"))
# What may need what no other room does: one place each.
ONLY_IN = {
    "ctypes": "devproxy/linux/",
    "_ctypes": "devproxy/linux/foreign.py",
    "subprocess": "devproxy/process.py",
    "pytest": "devproxy/pytest_plugin/",
}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module


def imported_when_run(path: Path) -> Iterator[str]:
    """What is imported when the module is: not below `if TYPE_CHECKING:`, not inside functions."""
    pending: list[ast.stmt] = list(ast.parse(path.read_text(encoding="utf-8")).body)
    for node in pending:
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
        elif isinstance(node, ast.If):
            pending += node.orelse if ast.unparse(node.test) == "TYPE_CHECKING" else node.body + node.orelse


def test_rooms_import_only_from_below() -> None:
    assert len(read_configuration(str(ROOT / "pyproject.toml"))["contracts_options"]) == 3
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == EXIT_STATUS_SUCCESS


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if p.is_relative_to(ROOT / "vfs")], ids=lambda p: str(p.relative_to(ROOT))
)
def test_vfs_sees_the_standard_library_alone(path: Path) -> None:
    roots = {name.partition(".")[0] for name in imported(path)}
    assert roots <= sys.stdlib_module_names | {"vfs"}


@pytest.mark.parametrize("module", ONLY_IN)
def test_system_calls_and_programs_have_one_place_each(module: str) -> None:
    users = {path.relative_to(ROOT).as_posix() for path in SOURCES if module in imported(path)}
    assert all(user.startswith(ONLY_IN[module]) for user in users), users


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if p.is_relative_to(ROOT / "devproxy")], ids=lambda p: str(p.relative_to(ROOT))
)
def test_what_only_type_checkers_need_is_not_imported(path: Path) -> None:
    """Importing typing takes as long as building a root. Records and choices are devproxy's own (devproxy/record.py,
    devproxy/choice.py), everything else is imported below `if TYPE_CHECKING:`.
    """
    if not path.is_relative_to(ROOT / "devproxy" / "bench"):
        assert set(imported_when_run(path)).isdisjoint({"typing", "collections.abc", "types", "enum", "dataclasses"})


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 450
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name
