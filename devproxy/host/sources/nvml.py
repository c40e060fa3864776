"""What NVML says, as facts."""

from __future__ import annotations

from devproxy.host.nvml_facts import Nvml, NvmlState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.host.facts import Host
    from devproxy.host.root import HostRoot


def read_nvml(root: HostRoot, host: Host) -> Nvml:
    """NVML's answer."""
    del root, host
    return Nvml(NvmlState.UNASKED)
