"""Parameters of the NVIDIA driver's other parts: NVLink and NVSwitch, and how many IMEX channels there are."""

from __future__ import annotations

from devproxy.host.device_facts import NvidiaService

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.facts import Host
    from devproxy.host.root import HostRoot

_PARTS: Final = ("nvidia-nvlink", "nvidia-nvswitch")
_CHANNELS: Final = "/dev/nvidia-caps-imex-channels/"
_LIMIT: Final = 4096


def read_nvidia_services(root: HostRoot, host: Host) -> tuple[NvidiaService, ...]:
    """Those that are there."""
    if host.nvidia is None:
        return ()
    found = []
    for part in _PARTS:
        path = f"/proc/driver/{part}/permissions"
        text = root.read_text(path, _LIMIT)
        if text is not None:
            found.append(NvidiaService(part, _values(text), path))
    wanted = host.nvidia.param("ImexChannelCount")
    if host.major_of("nvidia-caps-imex-channels") is not None or wanted is not None:
        nodes = sum(node.path.startswith(_CHANNELS) for node in host.nodes)
        values = (("ImexChannelCount", wanted or ""), ("nodes", str(nodes)))
        found.append(NvidiaService("nvidia-imex", values, "/proc/driver/nvidia/params"))
    return tuple(found)


def _values(text: str) -> tuple[tuple[str, str], ...]:
    """`DeviceFileMode: 384` lines."""
    pairs = (line.partition(":") for line in text.split("\n"))
    return tuple((name.strip(), value.strip()) for name, colon, value in pairs if colon)
