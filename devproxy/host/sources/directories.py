"""Directories of accelerators' nodes, and that of the links to them: who may enter them decides over every node inside."""

from __future__ import annotations

import stat

from devproxy.host.device_facts import NodeDirectory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.facts import Host
    from devproxy.host.root import HostRoot

_LINKS: Final = "/dev/char"
_DIRECTORIES: Final[tuple[str, ...]] = (
    "/dev/nvidia-caps",
    "/dev/nvidia-caps-imex-channels",
    "/dev/vfio",
    "/dev/accel",
    "/dev/dri",
)


def read_directories(root: HostRoot, host: Host) -> tuple[NodeDirectory, ...]:
    """Those that are there. Only what a listing of /dev names is looked at: recordings know no more."""
    if not host.knows("/dev"):
        return ()
    names = {f"/dev/{name}" for name in root.listdir("/dev")}
    found = [path for path in _DIRECTORIES if path in names]
    if _LINKS in names and (host.nvidia is not None or host.tpus):
        found.append(_LINKS)
    looked = [(path, entry) for path in found if (entry := root.lstat(path)) is not None and stat.S_ISDIR(entry.mode)]
    return tuple(NodeDirectory(path, stat.S_IMODE(entry.mode), entry.uid, entry.gid) for path, entry in looked)
