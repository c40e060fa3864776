"""The details of systems, gathered from their sources."""

from __future__ import annotations

from devproxy.host.details import SystemDetails

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.host.facts import Host
    from devproxy.host.root import HostRoot


def read_system_details(root: HostRoot, host: Host) -> SystemDetails:
    """What this room's sources say."""
    del root, host
    return SystemDetails()
