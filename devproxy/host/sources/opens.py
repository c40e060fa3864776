"""What opening each accelerator said, from the fact `opens` (devproxy.host.live.opens)."""

from __future__ import annotations

from devproxy.host.device_facts import Opening
from devproxy.host.root import fact_path
from devproxy.host.sources.document import each_object, number, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.host.root import HostRoot


def read_opens(root: HostRoot) -> tuple[Opening, ...] | None:
    """The answers, by path; None when nobody asked."""
    document = root.read_fact("opens")
    if not document:
        return None
    found = each_object(root, "opens", document, "opens", _opening)
    try:
        left_out = number(document.get("left_out", 0))
    except TypeError:
        left_out = 0
    if left_out:
        root.note(fact_path("opens"), f"{left_out} more nodes were not opened")
    return tuple(sorted(found))


def _opening(each: dict[str, object]) -> Opening:
    return Opening(text(each.get("path")), text(each.get("errno")), text(each.get("number")))
