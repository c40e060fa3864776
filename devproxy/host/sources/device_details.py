"""The details of devices, gathered from their sources."""

from __future__ import annotations

from devproxy.host.details import DeviceDetails

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.host.facts import Host
    from devproxy.host.root import HostRoot


def read_device_details(root: HostRoot, host: Host) -> DeviceDetails:
    """What this room's sources say."""
    del root, host
    return DeviceDetails()
