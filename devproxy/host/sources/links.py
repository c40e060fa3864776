"""The links in /dev/char, by which systemd and runc find a device by its number (udev makes them for devices that it knows;
NVIDIA's nodes need `nvidia-ctk system create-dev-char-symlinks` or nvidia-modprobe).
"""

from __future__ import annotations

from devproxy.host.accelerator_nodes import accelerator_nodes
from devproxy.host.device_facts import CharLink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.facts import Host, HostNode
    from devproxy.host.root import HostRoot

_DIRECTORY: Final = "/dev/char"


def read_links(root: HostRoot, host: Host) -> tuple[CharLink, ...] | None:
    """The link of each accelerator's node that has one; None when the directory cannot be seen."""
    nodes = accelerator_nodes(host.nodes)
    if not nodes:
        return ()
    if root.lstat(_DIRECTORY) is None:
        return () if host.knows("/dev") and not _is_unseen(root) else None
    return tuple(link for node in nodes if (link := _read_link(root, host, node)) is not None)


def link_path(node: HostNode) -> str:
    """Where the link of a node has to be: /dev/char/195:0."""
    return f"{_DIRECTORY}/{node.number}"


def _read_link(root: HostRoot, host: Host, node: HostNode) -> CharLink | None:
    path = link_path(node)
    target = root.follow(path)
    if target == path:
        return None
    found = host.node(target)
    return CharLink(path, target, dangling=found is None and root.lstat(target) is None)


def _is_unseen(root: HostRoot) -> bool:
    return any(unseen.path == _DIRECTORY for unseen in root.unseen)
