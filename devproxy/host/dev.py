"""The device nodes in the host's /dev, two levels deep: /dev/nvidia0, /dev/nvidia-caps/nvidia-cap1, /dev/dri/card0. iommufd's
are one level deeper: /dev/vfio/devices/vfio0.
"""

from __future__ import annotations

import stat

from devproxy.host.facts import HostNode, Stray
from devproxy.host.root import Entry, HostRoot
from devproxy.node import NodeKind, number_of_rdev

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Other file systems (terminals, shared memory, queues), and directories that hold links to nodes alone.
_PASSED_OVER: Final = frozenset(("block", "char", "disk", "fd", "hugepages", "mqueue", "pts", "shm"))

_IOMMUFD: Final = "/dev/vfio/devices"
_KINDS: Final = {
    stat.S_IFDIR: "a directory",
    stat.S_IFREG: "a regular file",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a fifo",
}


def read_nodes(root: HostRoot) -> tuple[tuple[HostNode, ...], tuple[Stray, ...]]:
    """Every character and block node, by path, and what is no node where an accelerator's belongs. Links are not followed:
    a link to a node is no node.
    """
    found = []
    for name in root.listdir("/dev"):
        if name in _PASSED_OVER:
            continue
        path = f"/dev/{name}"
        entry = root.lstat(path)
        if entry is None:
            continue
        if stat.S_ISDIR(entry.mode):
            found.append((path, entry))
            below = [f"{path}/{name}" for name in root.listdir(path)]
            if _IOMMUFD in below:
                below += [f"{_IOMMUFD}/{name}" for name in root.listdir(_IOMMUFD)]
            found += [(path, inner) for path in below if (inner := root.lstat(path)) is not None]
        else:
            found.append((path, entry))
    nodes = tuple(node for path, entry in found if (node := _node(path, entry)) is not None)
    if len(nodes) == len(found):
        return nodes, ()
    return nodes, tuple(
        Stray(path, _KINDS.get(stat.S_IFMT(entry.mode), "something else"))
        for path, entry in found
        if not (stat.S_ISCHR(entry.mode) or stat.S_ISBLK(entry.mode)) and _is_numbered(path)
    )


def _is_numbered(path: str) -> bool:
    """Whether a path is a device's own, not that of a directory of devices or of links to them."""
    if not path.startswith(
        ("/dev/nvidia", "/dev/accel", "/dev/apex_", "/dev/vfio/", "/dev/kfd", "/dev/dri/card", "/dev/dri/renderD")
    ):
        return False
    from devproxy.host.accelerator_nodes import is_accelerator

    return is_accelerator(path) and path != _IOMMUFD


def _node(path: str, entry: Entry) -> HostNode | None:
    if stat.S_ISCHR(entry.mode):
        kind = NodeKind.CHARACTER
    elif stat.S_ISBLK(entry.mode):
        kind = NodeKind.BLOCK
    else:
        return None
    return HostNode(path, kind, number_of_rdev(entry.rdev), stat.S_IMODE(entry.mode), entry.uid, entry.gid)
