"""Builds the fake library, and writes the world that it tells of."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from devproxy.host.facts import Host
from devproxy.host.live.nvml import ask
from devproxy.host.nvml_facts import Nvml
from devproxy.host.probe import probe_reader
from devproxy.process import find_program, run
from tests.hosts.machine import Machine

SOURCE: Final = Path(__file__).with_name("fakenvml.c")
LIBRARY: Final = "libnvidia-ml.so.1"
# What a healthy library is given: far more than it takes, on a machine that does much else.
PATIENCE: Final = 60.0
# What one that hangs is given: enough to start Python and import pynvml.
IMPATIENCE: Final = 4.0

World = dict[str, dict[str, object]]


def build(directory: Path, *, without: Sequence[str] = ()) -> Path:
    """Compile the library into `directory`, leaving symbols out. Skips the test where there is no compiler; fails it on CI."""
    compiler = find_program("gcc")
    if compiler is None:
        (pytest.fail if os.environ.get("DEVPROXY_CI") else pytest.skip)("gcc is not installed")
    path = directory / LIBRARY
    hidden = directory / "symbols"
    left_out = " ".join(f"{name};" for name in (*without, "none_of_them"))
    hidden.write_text(f"{{ global: *; local: {left_out} }};")
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", f"-Wl,-soname,{LIBRARY}"]
    run([compiler, *flags, f"-Wl,--version-script={hidden}", "-o", str(path), str(SOURCE)])
    return path


def gpu(rank: int, **changes: object) -> dict[str, object]:
    """A healthy GPU: the one at rank `rank` of eight. The driver found the third and fourth in the other order."""
    buses = ("18", "2a", "3a", "5d", "9a", "ab", "ba", "db")
    minor = {2: 3, 3: 2}.get(rank, rank)
    uuid = f"GPU-{rank:08x}-0000-4000-8000-000000000000"
    return {"uuid": uuid, "minor": minor, "address": f"00000000:{buses[rank].upper()}:00.0", **changes}


def machine_of(count: int, **changes: object) -> World:
    """So many healthy GPUs."""
    return {"system": {}} | {f"gpu {rank}": gpu(rank, **changes) for rank in range(count)}


class FakeNvml:
    """A library that programs find by LD_LIBRARY_PATH, in a directory of its own, with the world that it tells of."""

    def __init__(self, directory: Path, library: Path | None) -> None:
        self.directory = directory
        if library is not None:
            shutil.copyfile(library, directory / LIBRARY)

    def world(self, sections: Mapping[str, Mapping[str, object]]) -> None:
        """What it says from now on."""
        lines = []
        for section, values in sections.items():
            lines += [f"[{section}]", f"present = {section}", *(f"{key} = {value}" for key, value in values.items())]
        whole = self.directory / "nvml.ini.new"
        whole.write_text("\n".join(lines) + "\n")
        whole.replace(self.directory / "nvml.ini")

    def document(self, seconds: float = PATIENCE) -> dict[str, object]:
        """What the child told, as a document."""
        return ask(seconds)

    def ask(self, seconds: float = PATIENCE) -> Nvml:
        """What it says, as facts; a bare machine around it."""
        return nvml_of(self.document(seconds))


def host_of(document: object, machine: Machine | None = None) -> Host:
    """A machine with that answer of NVML, probed."""
    machine = machine or Machine().file("/proc/devices", "Character devices:\n  1 mem\n")
    return probe_reader(machine.fact("nvml", document), name="live", simulated=True, deep=True)


def nvml_of(document: object) -> Nvml:
    """A document's facts."""
    details = host_of(document).details
    assert details is not None
    return details.nvml
