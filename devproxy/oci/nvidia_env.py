"""NVIDIA_VISIBLE_DEVICES: which GPUs the environment asks for (S76, S77).

The words are those of NVIDIA's own container tools: unset, empty or `void` asks for nothing, `none` for the driver
without a GPU, `all` for every GPU, anything else is a list of ids. Which GPU an id names is for whoever knows the host.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

VISIBLE_DEVICES = "NVIDIA_VISIBLE_DEVICES"


class GpuId(NamedTuple):
    """One id of the list, as it was written, and its place in it, counted from 1."""

    text: str
    position: int

    @property
    def is_mig(self) -> bool:
        """Whether it names a MIG device: `MIG-UUID`, `MIG-GPU-UUID/3/0` or `0:1`."""
        gpu, colon, instance = self.text.partition(":")
        return self.text.upper().startswith("MIG-") or (colon == ":" and gpu.isdecimal() and instance.isdecimal())


class VisibleDevices(NamedTuple):
    """What is asked for: every GPU, or those of `ids`; no ids ask for the driver alone. `value` is the variable's."""

    value: str
    all: bool
    ids: tuple[GpuId, ...]


def visible_devices(env: Iterable[str]) -> VisibleDevices | None:
    """What the environment asks for; None when it asks for no accelerator.

    The first variable of that name counts, as for the process itself (getenv(3)).
    """
    value = next((entry.partition("=")[2] for entry in env if entry.startswith(f"{VISIBLE_DEVICES}=")), "")
    # Positions are those of the words that count: empty ones are dropped, as by NVIDIA's tools.
    words = [word for word in (part.strip() for part in value.split(",")) if word]
    if not words or "void" in words:
        return None
    decisive = next((word for word in words if word in ("all", "none")), None)
    if decisive is not None:
        return VisibleDevices(value, all=decisive == "all", ids=())
    return VisibleDevices(value, all=False, ids=tuple(GpuId(word, n) for n, word in enumerate(words, 1)))
