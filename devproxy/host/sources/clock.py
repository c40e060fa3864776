"""When the facts were gathered, from the fact `clock` (devproxy.host.live.clock)."""

from __future__ import annotations

from devproxy.host.root import fact_path
from devproxy.host.shared_memory_facts import Clock
from devproxy.host.sources.document import amount, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.host.root import HostRoot


def read_clock(root: HostRoot) -> Clock | None:
    """The time; None when nobody looked at a clock."""
    document = root.read_fact("clock")
    if not document:
        return None
    try:
        boot = text(document.get("boot"))
        realtime, monotonic, boottime = (amount(document.get(name)) for name in ("realtime", "monotonic", "boottime"))
    except TypeError as error:
        root.note(fact_path("clock"), f"it has {error}")
        return None
    return Clock(boot, realtime, monotonic, boottime)
