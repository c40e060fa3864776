"""The library is built once; each test has a copy in a directory of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nvml.fake import FakeNvml, build, machine_of


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Where the library is kept once it was built; empty before."""
    return {"directory": tmp_path_factory.mktemp("fakenvml")}


@pytest.fixture
def nvml(tmp_path: Path, library: dict[str, Path], programs: None, monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    """A fake NVML with two healthy GPUs, which is the one that this process and its children would load."""
    if "library" not in library:
        library["library"] = build(library["directory"])
    directory = tmp_path / "driver"
    directory.mkdir()
    monkeypatch.setenv("LD_LIBRARY_PATH", str(directory))
    fake = FakeNvml(directory, library["library"])
    fake.world(machine_of(2))
    return fake
