"""Who holds accelerators, from the fact `holders` (devproxy.host.live.holders)."""

from __future__ import annotations

from devproxy.host.device_facts import Holder, Holders
from devproxy.host.sources.document import each_object, number, text, texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.host.root import HostRoot


def read_holders(root: HostRoot) -> Holders | None:
    """The processes, by pid; None when nobody looked. What is wrong in the document makes it incomplete."""
    document = root.read_fact("holders")
    if not document:
        return None
    before = len(root.unseen)
    found = each_object(root, "holders", document, "holders", _holder)
    unread, why = document.get("unread"), document.get("why")
    sound = len(root.unseen) == before and document.get("complete") is True
    return Holders(
        tuple(sorted(found, key=lambda holder: holder.pid)),
        complete=sound,
        unread=unread if isinstance(unread, int) and not isinstance(unread, bool) and unread > 0 else 0,
        why=why if isinstance(why, str) else "",
    )


def _holder(each: dict[str, object]) -> Holder:
    pid, uid, started = (number(each.get(name)) for name in ("pid", "uid", "started"))
    lease = each.get("lease")
    paths = texts(each.get("paths"))
    return Holder(pid, text(each.get("name")), uid, started, paths, lease=None if lease is None else text(lease))
