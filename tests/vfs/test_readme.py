"""The README's lines of use are run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


def test_the_file_system_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    blocks: list[str] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (code,) = [block for block in blocks if "import os, vfs" in block]
    exec(code, {})
    assert capsys.readouterr().out == "5\n"
