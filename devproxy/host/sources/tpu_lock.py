"""libtpu's lock file, from the fact `locks` (devproxy.host.live.locks)."""

from __future__ import annotations

from devproxy.host.device_facts import TpuLock
from devproxy.host.root import fact_path
from devproxy.host.sources.document import each_object, number, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.host.root import HostRoot


def read_tpu_lock(root: HostRoot) -> TpuLock | None:
    """The lock file, or None when there is none. What is no regular file at its path is noted: libtpu cannot use it."""
    found = each_object(root, "locks", root.read_fact("locks"), "locks", _lock)
    for lock in found:
        if lock.kind != "file":
            root.note(fact_path("locks"), f"{lock.path} is no regular file: {lock.kind}")
    return found[0] if found else None


def _lock(each: dict[str, object]) -> TpuLock:
    held, pid = each.get("held"), each.get("pid")
    if held is not None and not isinstance(held, bool):
        raise TypeError(f"{held!r}, expected whether it is held")
    return TpuLock(
        text(each.get("path")),
        number(each.get("uid")),
        held,
        kind=text(each.get("kind")),
        mode=number(each.get("mode")),
        pid=None if pid is None else number(pid),
    )
