"""Sockets of services, from the fact `sockets` (devproxy.host.live.sockets)."""

from __future__ import annotations

from devproxy.host.sources.document import each_object, text, truth
from devproxy.host.system_facts import ServiceSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.host.root import HostRoot


def read_sockets(root: HostRoot) -> tuple[ServiceSocket, ...] | None:
    """Those that are there, by path; None when nobody looked."""
    document = root.read_fact("sockets")
    if not document:
        return None
    return tuple(sorted(each_object(root, "sockets", document, "sockets", _socket), key=lambda each: each.path))


def _socket(each: dict[str, object]) -> ServiceSocket:
    listening = each.get("listening")
    answer = None if listening is None else truth(listening)
    return ServiceSocket(text(each.get("service")), text(each.get("path")), answer, text(each.get("why", "")))
