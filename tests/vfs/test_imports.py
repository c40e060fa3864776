"""`vfs` imports the standard library alone, and nothing that was not asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vfs

HOME = Path(vfs.__file__).parent
SOURCES = sorted(str(path.relative_to(HOME)) for path in HOME.rglob("*.py"))


@pytest.mark.programs
def test_a_lexical_helper_brings_no_file_system() -> None:
    script = "import sys, vfs.path; print(*(name for name in sys.modules if name.startswith('vfs')))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["vfs", "vfs.abi", "vfs.errors", "vfs.path"]


def test_every_public_name_is_there() -> None:
    for name in vfs.__all__:
        assert getattr(vfs, name).__module__.startswith("vfs.") or name == "ROOT"
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        vfs.__getattr__("Nothing")


@pytest.mark.parametrize("source", SOURCES)
def test_only_the_standard_library_is_imported(source: str) -> None:
    for node in ast.walk(ast.parse((HOME / source).read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            top = name.partition(".")[0]
            assert top == "vfs" or top in sys.stdlib_module_names
