"""What NVML says on the machines of `tests.hosts.make`: documents of the form that `devproxy.host.live.nvml` makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

_MEBIBYTE: Final = 1 << 20


class Board(NamedTuple):
    """A kind of GPU: its name, memory in MiB, power limit in watts, PCIe generation, SM clock, number of NVLinks, and whether
    it can be partitioned, replaces rows of its memory, and joins a fabric.
    """

    name: str
    memory: int
    watts: int
    generation: int
    clock: int
    links: int = 0
    partitions: bool = False
    remaps: bool = True
    fabric: bool = False


H100: Final = Board("NVIDIA H100 80GB HBM3", 81559, 700, 5, 1980, links=18, partitions=True, fabric=True)
V100: Final = Board("Tesla V100-SXM2-32GB", 32768, 300, 3, 1530, links=6, remaps=False)
L4: Final = Board("NVIDIA L4", 23034, 72, 4, 2040)
L40S: Final = Board("NVIDIA L40S", 46068, 350, 4, 2520)


def answer(driver: str, cuda: int, gpus: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """An answer without an error, about idle and healthy GPUs."""
    return {
        "state": "answered", "why": "", "driver": driver, "library": f"{cuda // 1000}.{driver}", "cuda": cuda,
        "device_count": len(gpus), "errors": [], "gpus": [gpu | {"rank": rank} for rank, gpu in enumerate(gpus)],
        "seconds": 0.26,
    }  # fmt: skip


def idle(board: Board, address: str, minor: int, uuid: str, numa_node: int) -> dict[str, Any]:
    """A GPU that nobody uses. `address` is sysfs's, which NVML writes with eight digits and in capitals."""
    domain, _, rest = address.partition(":")
    return {
        "address": f"{domain:>08}:{rest.upper()}", "uuid": f"GPU-{uuid}", "minor": minor, "name": board.name,
        "serial": f"16517230{minor:05}", "mig_mode": False if board.partitions else None, "mig": [], "pids": [],
        "numa_nodes": [numa_node] if numa_node >= 0 else None, "memory_node": None, "persistence": 1, "compute_mode": 0,
        "temperature": 33, "temperature_slowdown": 89, "temperature_shutdown": 92, "power": board.watts * 100,
        "power_limit": board.watts * 1000, "power_limit_default": board.watts * 1000, "ecc": True, "ecc_uncorrected": 0,
        "ecc_uncorrected_ever": 0, "remap_pending": False if board.remaps else None,
        "remap_failed": False if board.remaps else None, "pcie_generation": board.generation,
        "pcie_generation_most": board.generation, "pcie_width": 16, "pcie_width_most": 16, "clock_sm": 345,
        "clock_sm_most": board.clock, "clock_sm_locked": board.clock, "throttle": 1, "load": 0,
        "memory_total": board.memory * _MEBIBYTE, "memory_used": 4 * _MEBIBYTE, "nvlinks": [True] * board.links,
        "fabric": [3, ""] if board.fabric else None,
    }  # fmt: skip


def partition(document: dict[str, Any], minor: int, instances: Sequence[tuple[int, int, str]]) -> dict[str, Any]:
    """The same with the GPU of a minor cut: (GPU instance, compute instance, profile) of each MIG device, by index."""
    for gpu in document["gpus"]:
        if gpu["minor"] == minor:
            gpu["mig_mode"] = True
            gpu["mig"] = [
                {
                    "rank": rank, "uuid": f"MIG-{rank:08}-{gpu['uuid'][13:]}", "gpu_instance": instance,
                    "compute_instance": compute, "name": f"{gpu['name']} MIG {profile}",
                }
                for rank, (instance, compute, profile) in enumerate(instances)
            ]  # fmt: skip
    return document
