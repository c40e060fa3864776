"""Whether a device that nobody has leased can be given: it is not kept out, and no process has it open, as far as can be seen."""

from __future__ import annotations

import os
import time

from devproxy.host.facts import Host
from devproxy.host.root import HostRoot, LiveReader
from devproxy.host.sources.holders import read_holders
from devproxy.jobs.devices import Device
from devproxy.jobs.quarantine import PLACE, kept_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.device_facts import Holder

# Looking through all processes takes a while; who waits looks again no more often than this.
_KEEP: Final = 1.0


class Busy:
    """Looks for holders, again and again while somebody waits. A recorded host's are nobody's business here."""

    def __init__(self, host: Host, quarantine: str = PLACE) -> None:
        self._live = not host.simulated
        self._quarantine = quarantine
        self._looked = 0.0
        self._holders: tuple[Holder, ...] = ()
        self.complete = True

    def why(self, device: Device) -> str:
        """Why a device cannot be given, in words; empty when nothing speaks against it."""
        entry = kept_out(self._quarantine).get(device.name)
        if entry is not None:
            return entry.describe()
        if not self._live:
            return ""
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
        self.complete = found is not None and found.complete
