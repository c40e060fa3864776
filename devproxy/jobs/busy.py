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
    from collections.abc import Callable
    from typing import Final

    from devproxy.host.device_facts import Holder
    from devproxy.host.nvml_facts import NvmlGpu

# Looking through all processes takes a while, and asking NVML longer. What was seen is good for some times as long as it took to
# see it: who waits spends a small share of the time on looking, and has what becomes free soon after. At most so many seconds.
_TIMES: Final = 4
_KEEP: Final = 1.0
_LOST: Final = "GPU_IS_LOST"
_FUNCTIONS: Final = "/sys/bus/pci/devices"


class Busy:
    """Looks for what speaks against giving a device, again and again while somebody waits. The processes and the memory of a
    recorded host are nobody's business here.
    """

    def __init__(self, host: Host, quarantine: str = PLACE, is_ours: Callable[[int], bool] | None = None) -> None:
        """`is_ours` says of a process whether what it has open is no other job's; without it that is this process alone."""
        self._host = host
        self._quarantine = quarantine
        self._functions = frozenset(function.address for function in host.pci)
        self._is_ours = is_ours or (lambda pid: pid == os.getpid())
        self._holders_good = 0.0
        self._holders: tuple[Holder, ...] = ()
        self._complete = True
        # What a deep probe was told a moment ago need not be asked again.
        self._nvml = Nvml(NvmlState.UNASKED) if host.details is None else host.details.nvml
        self._nvml_good = 0.0 if host.details is None else time.monotonic() + _KEEP

    def why(self, device: Device) -> str:
        """Why a device cannot be given, in words; empty when nothing speaks against it."""
        entry = kept_out(self._quarantine).get(device.name)
        if entry is not None:
            return entry.describe()
        if self._host.simulated:
            return ""
        if device.address in self._functions and not os.path.lexists(f"{_FUNCTIONS}/{device.address}"):
            return "gone from the bus"  # since the probe: who waits may have waited for hours
        holders = self._holders_of(device)
        others = [f"{h.name} (pid {h.pid})" for h in holders if not self._is_ours(h.pid)]
        if others:
            return f"held by {', '.join(others[:4])}"
        # Where we are the holders, the memory is ours too.
        return self._used(device) if device.kind is Kind.GPU and not holders else ""

    def unseen(self, device: Device) -> str:
        """Why a device that was given may be in use all the same; empty where that could be seen."""
        if self._host.simulated or self._complete:
            return ""
        gpu = self._told(device) if device.kind is Kind.GPU else None
        if gpu is not None and gpu.health.memory_used is not None:
            return ""
        return "not every process could be looked at, and NVML tells nothing of its memory"

    def _holders_of(self, device: Device) -> list[Holder]:
        """The processes that have a device open. When one that was seen has ended, what was seen is old: another may have it from
        there, or nobody.
        """
        self._look()
        nodes = frozenset(device.nodes)
        found = [holder for holder in self._holders if not nodes.isdisjoint(holder.paths)]
        if all(os.path.exists(f"/proc/{holder.pid}") for holder in found):
            return found
        self._holders_good = 0.0
        self._look()
        return [holder for holder in self._holders if not nodes.isdisjoint(holder.paths)]

    def _look(self) -> None:
        began = time.monotonic()
        if began < self._holders_good:
            return
        with LiveReader() as reader:
            found = read_holders(HostRoot(reader))
        self._holders_good = _good_until(began)
        self._holders = found.holders if found else ()
        self._complete = found is not None and found.complete

    def _used(self, device: Device) -> str:
        began = time.monotonic()
        if began >= self._nvml_good:
            with LiveReader() as reader:
                self._nvml = read_nvml(HostRoot(reader), self._host)
            self._nvml_good = _good_until(began)
        gpu = self._told(device)
        rank = device.rank if gpu is None else gpu.rank
        if any(error.name == _LOST and error.gpu == rank for error in self._nvml.errors):
            return "lost, says NVML"
        taken = memory_taken(gpu) if gpu is not None else ""
        return f"without a holder, but with {taken} of its memory in use" if taken else ""

    def _told(self, device: Device) -> NvmlGpu | None:
        return next((gpu for gpu in self._nvml.gpus if gpu.address == device.address), None)


def _good_until(began: float) -> float:
    """Until when what was seen is good, by how long it took from `began`."""
    now = time.monotonic()
    return now + min((now - began) * _TIMES, _KEEP)
