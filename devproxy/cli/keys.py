"""The configuration keys in one line each, for whoever asks for help. README has them at length."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

KEYS: Final = {
    "overlay2": "where writes go: none, or root: or all: with memory, self or dir=/DIRECTORY, then ,size=SIZE (root:memory)",
    "nvproxy": "recognise NVIDIA devices: auto, true, false (auto)",
    "nvproxy-docker": "honour NVIDIA_VISIBLE_DEVICES: auto, true, false (auto)",
    "tpuproxy": "recognise TPUs: auto, true for every TPU of the host, false (auto)",
    "nvproxy-allowed-driver-capabilities": "what NVIDIA_DRIVER_CAPABILITIES may ask for: all, or a list (all)",
    "tun": "make /dev/net/tun where the host has it: true, false (true)",
    "mount-order": "depth, parents first, or listed, as config.json has them (depth)",
    "cgroupfs": "what cgroup mounts are: none, v1, v2 (none)",
    "file-access": "exclusive or shared, both the same here",
    "file-access-mounts": "exclusive or shared, both the same here",
    "host-fifo": "none, or open: fifos of binds are the host's in memory too (none)",
    "character-device-policy": "who answers in memory for devices of binds: emulated-only, prefer-emulated, passthrough (emulated-only)",
    "product-name": "what sysfs tells of the machine (the host's)",
    "strict": "a warning is an error: true, false (false)",
}


def described() -> str:
    """The keys as lines of help."""
    width = max(len(key) for key in KEYS)
    return "\n".join(f"{key:{width}}  {meaning}" for key, meaning in KEYS.items())
