"""Whether a device that nobody has leased can be given: it is not kept out, no process has it open, and none of its memory is in use,
as far as can be seen.
"""

from __future__ import annotations

import os
import time

from devproxy.check.doctor.health import memory_taken
from devproxy.host.facts import Host
from devproxy.host.nvml_facts import Nvml, NvmlState
from devproxy.host.root import HostRoot, LiveReader
from devproxy.host.sources.holders import read_holders
from devproxy.host.sources.nvml import read_nvml
from devproxy.jobs.devices import Device, Kind
from devproxy.jobs.quarantine import PLACE, kept_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.device_facts import Holder
    from devproxy.host.nvml_facts import NvmlGpu

# Looking through all processes takes a while, and so does asking NVML; who waits looks again no more often than this, in seconds.
_KEEP: Final = 1.0
_LOST: Final = "GPU_IS_LOST"
_FUNCTIONS: Final = "/sys/bus/pci/devices"


class Busy:
    """Looks for what speaks against giving a device, again and again while somebody waits. The processes and the memory of a
    recorded host are nobody's business here.
    """

    def __init__(self, host: Host, quarantine: str = PLACE) -> None:
        self._host = host
        self._quarantine = quarantine
        self._functions = frozenset(function.address for function in host.pci)
        self._looked = 0.0
        self._holders: tuple[Holder, ...] = ()
        self._complete = True
        # What the probe was told a moment ago need not be asked again.
        self._nvml = Nvml(NvmlState.UNASKED) if host.details is None else host.details.nvml
        self._asked = time.monotonic()

    def why(self, device: Device) -> str:
        """Why a device cannot be given, in words; empty when nothing speaks against it."""
        entry = kept_out(self._quarantine).get(device.name)
        if entry is not None:
            return entry.describe()
        if self._host.simulated:
            return ""
        if device.address in self._functions and not os.path.lexists(f"{_FUNCTIONS}/{device.address}"):
            return "gone from the bus"  # since the probe: who waits may have waited for hours
        return self._held(device) or (self._used(device) if device.kind is Kind.GPU else "")

    def unseen(self, device: Device) -> str:
        """Why a device that was given may be in use all the same; empty where that could be seen."""
        if self._host.simulated or self._complete:
            return ""
        gpu = self._told(device) if device.kind is Kind.GPU else None
        if gpu is not None and gpu.health.memory_used is not None:
            return ""
        return "not every process could be looked at, and NVML tells nothing of its memory"

    def _held(self, device: Device) -> str:
        self._look()
        names = [
            f"{h.name} (pid {h.pid})"
            for h in self._holders
            if set(h.paths) & set(device.nodes) and h.pid != os.getpid()
        ]
        return f"held by {', '.join(names[:4])}" if names else ""

    def _look(self) -> None:
        now = time.monotonic()
        if self._looked and now - self._looked < _KEEP:
            return
        with LiveReader() as reader:
            found = read_holders(HostRoot(reader))
        self._looked = time.monotonic()
        self._holders = found.holders if found else ()
        self._complete = found is not None and found.complete

    def _used(self, device: Device) -> str:
        if time.monotonic() - self._asked >= _KEEP:
            with LiveReader() as reader:
                self._nvml = read_nvml(HostRoot(reader), self._host)
            self._asked = time.monotonic()
        gpu = self._told(device)
        rank = device.rank if gpu is None else gpu.rank
        if any(error.name == _LOST and error.gpu == rank for error in self._nvml.errors):
            return "lost, says NVML"
        taken = memory_taken(gpu) if gpu is not None else ""
        return f"without a holder, but with {taken} of its memory in use" if taken else ""

    def _told(self, device: Device) -> NvmlGpu | None:
        return next((gpu for gpu in self._nvml.gpus if gpu.address == device.address), None)
