"""Builds the fake library, and writes the world that it tells of."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pynvml
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
# What one that hangs is given: mostly enough to start Python and come to the call; on a busy machine more is.
IMPATIENCE: Final = (1.5, 6.0, 24.0)

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

    def ask_until(self, call: str) -> Nvml:
        """The same of one that hangs in `call`, however long it takes to come there."""
        for seconds in IMPATIENCE:
            told = self.ask(seconds)
            if told.during == call:
                break
        return told


def host_of(document: object, machine: Machine | None = None) -> Host:
    """A machine with that answer of NVML, probed."""
    machine = machine or Machine().file("/proc/devices", "Character devices:\n  1 mem\n")
    return probe_reader(machine.fact("nvml", document), name="live", simulated=True, deep=True)


def nvml_of(document: object) -> Nvml:
    """A document's facts."""
    details = host_of(document).details
    assert details is not None
    return details.nvml


# Facts of a document by the keys of a world; the others are told in ways of their own.
_KEYS: Final = {
    "uuid": "uuid", "minor": "minor", "name": "name", "serial": "serial", "memory_node": "memory_node", "address": "address",
    "persistence": "persistence", "compute_mode": "compute_mode", "temperature": "temperature", "load": "load",
    "temperature_shutdown": "shutdown", "temperature_slowdown": "slowdown", "power": "power_mw", "power_limit": "power_limit_mw",
    "power_limit_default": "power_default_mw", "ecc_uncorrected": "ecc_volatile", "ecc_uncorrected_ever": "ecc_aggregate",
    "pcie_generation": "pcie_gen", "pcie_generation_most": "pcie_gen_most", "pcie_width": "pcie_width",
    "pcie_width_most": "pcie_width_most", "clock_sm": "clock", "clock_sm_most": "clock_most", "clock_sm_locked": "clock_locked",
    "clock_memory_locked": "clock_memory", "ecc_pending": "ecc_pending", "mig_pending": "mig_pending",
    "throttle": "throttle", "memory_total": "memory", "memory_used": "memory_used", "ecc": "ecc", "mig_mode": "mig",
    "remap_pending": "remap_pending", "remap_failed": "remap_failed", "gpu_instance": "gi", "compute_instance": "ci",
}  # fmt: skip


def world_of(document: Mapping[str, Any]) -> World:
    """The world of which a fake says what the document says."""
    world: World = {"system": {"count": document["device_count"]}}
    for fact, key in (("driver", "driver"), ("library", "nvml"), ("cuda", "cuda")):
        world["system"][key] = document[fact]
    for gpu_facts in document["gpus"]:
        rank = gpu_facts["rank"]
        section = world[f"gpu {rank}"] = _section(gpu_facts)
        section["nvlinks"] = "".join("1" if link else "0" for link in gpu_facts.get("nvlinks") or ())
        if not section["nvlinks"]:
            section["error.nvmlDeviceGetNvLinkState"] = 3
        if gpu_facts.get("pids") is None:
            section |= {"pids": "none", "graphics": "none", "mps": "none"}
        else:
            section["pids"] = ",".join(map(str, gpu_facts["pids"]))
        if gpu_facts.get("numa_nodes") is not None:
            section["numa"] = ",".join(map(str, gpu_facts["numa_nodes"]))
        for mig in gpu_facts["mig"]:
            world[f"mig {rank}.{mig['rank']}"] = _section(mig)
    for error in document["errors"]:
        where = "system" if error["gpu"] is None else f"gpu {error['gpu']}"
        world.setdefault(where, {})[f"error.{error['call']}"] = error["code"]
    return world


def _section(facts: Mapping[str, Any]) -> dict[str, object]:
    values = {key: "none" if facts.get(fact) is None else facts[fact] for fact, key in _KEYS.items()}
    section: dict[str, object] = {
        key: int(value) if isinstance(value, bool) else value for key, value in values.items()
    }
    if facts.get("fabric"):
        section["fabric"], status = facts["fabric"]
        section["fabric_status"] = getattr(pynvml, f"NVML_ERROR_{status}") if status else 0
    return {key: value for key, value in section.items() if key not in ("address", "mig") or value != "none"}
