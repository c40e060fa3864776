"""/proc/driver/nvidia/params as a container with GPUs sees it (H13).

With ModifyDeviceFiles the driver asks whoever opens it (nvidia-modprobe, or libraries that do the same) to make its device
nodes, and to correct those that are there. In a container they were chosen: one that is missing has to stay missing.
"""

from __future__ import annotations

from devproxy.host.facts import Host
from devproxy.host.nvidia import params_text
from devproxy.plan.steps import Cover, Reason, Step

PARAMS = "/proc/driver/nvidia/params"
_KEY = "ModifyDeviceFiles"


def params_steps(host: Host) -> list[Step]:
    """Cover the file with one that differs in ModifyDeviceFiles: 0; nothing where the host says so itself."""
    params = () if host.nvidia is None else host.nvidia.params
    if dict(params).get(_KEY, "0") == "0":
        return []
    text = params_text((name, "0" if name == _KEY else value) for name, value in params)
    return [Cover(PARAMS, text, 0o444, Reason(f"host: {PARAMS}", f"{_KEY}: 0 for the container"))]
