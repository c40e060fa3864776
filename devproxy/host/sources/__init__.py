"""The sources of a deep probe: one small module each. What is absent is None or empty; what cannot be seen is noted."""

from __future__ import annotations

from devproxy.host.details import Details
from devproxy.host.sources.device_details import read_device_details
from devproxy.host.sources.nvml import read_nvml
from devproxy.host.sources.system_details import read_system_details

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.host.facts import Host
    from devproxy.host.root import HostRoot


def read_details(root: HostRoot, host: Host) -> Details:
    """Everything beyond what planning needs, of the machine whose plain facts are `host`."""
    return Details(read_nvml(root, host), read_device_details(root, host), read_system_details(root, host))
