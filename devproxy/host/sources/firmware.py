"""Firmware of the GPU's system processor (gsp_*.bin), where the kernel looks for it (firmware_class, request_firmware)."""

from __future__ import annotations

import re

from devproxy.host.system_facts import Firmware

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.facts import Host
    from devproxy.host.root import HostRoot

_OWN_PATH: Final = "/sys/module/firmware_class/parameters/path"
_VERSION: Final = re.compile(r"\d{3,4}\.\d{1,4}(?:\.\d{1,4})?")
_FILE: Final = re.compile(r"gsp\w{0,20}\.bin")
_SHORT: Final = 4096


def read_firmware(root: HostRoot, host: Host) -> tuple[Firmware, ...]:
    """The files of every version that is there. They are looked for where there is an NVIDIA GPU."""
    if host.nvidia is None:
        return ()
    found = (file for directory in firmware_directories(root, host.kernel) for file in _in(root, directory))
    return tuple(sorted(dict.fromkeys(found), key=lambda each: each.path))


def firmware_directories(root: HostRoot, release: str) -> tuple[str, ...]:
    """The search path, in its order."""
    own = (root.read_text(_OWN_PATH, _SHORT) or "").strip("\0\n ")
    directories = [
        f"/lib/firmware/updates/{release}",
        "/lib/firmware/updates",
        f"/lib/firmware/{release}",
        "/lib/firmware",
    ]
    if not release or "/" in release:
        directories = [directory for directory in directories if not directory.endswith(f"/{release}")]
    return tuple(dict.fromkeys([own.rstrip("/"), *directories] if own.startswith("/") else directories))


def _in(root: HostRoot, directory: str) -> Iterator[Firmware]:
    for version in root.listdir(f"{directory}/nvidia"):
        if _VERSION.fullmatch(version):
            for name in root.listdir(f"{directory}/nvidia/{version}"):
                if _FILE.fullmatch(name):
                    yield Firmware(version, f"{directory}/nvidia/{version}/{name}")
