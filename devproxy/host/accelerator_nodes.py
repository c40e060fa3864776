"""Which device nodes are an accelerator's, by their names below /dev and by the drivers that own their majors.

Names are what a host has; a process in a container may hold the same device by any name, so that who looks for holders
compares numbers.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.facts import HostNode

# /dev/NAME followed by a number.
_NUMBERED: Final = (
    "nvidia", "nvidia-nvswitch", "nvidia-vgpu", "nvidia-fs", "accel", "hl", "hl_controlD", "apex_", "nvhost-",
)  # fmt: skip
_NAMED: Final = frozenset(
    (
        "nvidiactl", "nvidia-modeset", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-nvswitchctl", "nvidia-nvlink",
        "nvidia-vgpuctl", "gdrdrv", "kfd", "iommu", "dxg", "nvmap",
    )
)  # fmt: skip
# Everything in these directories.
_DIRECTORIES: Final = ("nvidia-caps/", "nvidia-caps-imex-channels/", "dri/", "accel/", "vfio/", "nvgpu/")
# In /proc/devices, where nobody else has these names; drm too is accelerators', and screens'.
_DRIVERS: Final = frozenset(
    (
        "nvidia", "nvidia-frontend", "nvidiactl", "nvidia-modeset", "nvidia-uvm", "nvidia-caps",
        "nvidia-caps-imex-channels", "nvidia-nvswitch", "nvidia-nvlink", "nvidia-vgpu-vfio", "nvidia-fs", "gdrdrv",
        "accel", "vfio", "vfio-dev", "kfd", "drm", "habanalabs", "apex",
    )
)  # fmt: skip


def is_accelerator(path: str) -> bool:
    """Whether a path below /dev is named like an accelerator's node. Names alone say nothing of what is there."""
    name = path.removeprefix("/dev/")
    if name == path:
        return False
    if name in _NAMED or (name.startswith(_DIRECTORIES) and not name.endswith("/")):
        return True
    stem = name.rstrip("0123456789")
    return stem != name and stem in _NUMBERED


def is_accelerator_driver(name: str) -> bool:
    """Whether a driver of /proc/devices is an accelerator's, by its exact name."""
    return name in _DRIVERS


def accelerator_nodes(nodes: tuple[HostNode, ...]) -> tuple[HostNode, ...]:
    """The character nodes among `nodes` that are named like an accelerator's."""
    return tuple(node for node in nodes if node.kind.value == "c" and is_accelerator(node.path))
