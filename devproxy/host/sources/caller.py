"""Who probed, from the fact `caller` (devproxy.host.live.caller)."""

from __future__ import annotations

from devproxy.host.root import fact_path
from devproxy.host.sources.document import items, number, table, texts, truth
from devproxy.host.system_facts import Caller

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.host.root import HostRoot


def read_caller(root: HostRoot) -> Caller | None:
    """The caller, or None when nobody asked."""
    document = root.read_fact("caller")
    if not document:
        return None
    try:
        return Caller(
            number(document.get("uid")),
            number(document.get("gid")),
            tuple(number(gid) for gid in items(document.get("gids"))),
            texts(document.get("capabilities")),
            truth(document.get("user_namespace")),
            _groups(document.get("groups")),
        )
    except TypeError as error:
        root.note(fact_path("caller"), f"not understood: {error}")
        return None


def _groups(value: object) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((name, number(gid)) for name, gid in table(value).items()))
