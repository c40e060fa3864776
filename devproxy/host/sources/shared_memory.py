"""Shared memory that outlives its makers, from the fact `shared_memory` (devproxy.host.live.shared_memory)."""

from __future__ import annotations

from devproxy.host.root import fact_path
from devproxy.host.shared_memory_facts import MpsDirectory, SharedEntry, SharedMemory, SharedSegment
from devproxy.host.sources.document import amount, each_object, number, text, truth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.host.root import HostRoot

_NAME = "shared_memory"


def read_shared_memory(root: HostRoot) -> SharedMemory | None:
    """What there is; None when nobody looked."""
    document = root.read_fact(_NAME)
    if not document:
        return None
    segments = None
    if document.get("segments") is None:
        root.note("/proc/sysvipc/shm", "it could not be read")
    else:
        segments = each_object(root, _NAME, document, "segments", _segment)
    return SharedMemory(
        each_object(root, _NAME, document, "entries", _entry),
        segments,
        each_object(root, _NAME, document, "mps", _mps),
        _left_out(root, document, "left_out"),
        _left_out(root, document, "segments_left_out"),
    )


def _left_out(root: HostRoot, document: dict[str, object], key: str) -> int:
    """How many were left out, which is not noted: they are the old ones."""
    try:
        return number(document.get(key, 0))
    except TypeError as error:
        root.note(fact_path(_NAME), f"{key} is {error}")
        return 0


def _entry(each: dict[str, object]) -> SharedEntry:
    born, users = each.get("born"), each.get("users")
    return SharedEntry(
        text(each.get("path")),
        text(each.get("kind")),
        number(each.get("uid")),
        number(each.get("mode")),
        number(each.get("size")),
        number(each.get("device")),
        number(each.get("inode")),
        None if born is None else amount(born),
        amount(each.get("changed")),
        None if users is None else number(users),
    )


def _segment(each: dict[str, object]) -> SharedSegment:
    names = ("ident", "key", "uid", "creator_uid", "mode", "size", "attached", "creator", "last")
    ident, key, uid, creator_uid, mode, size, attached, creator, last = (number(each.get(name)) for name in names)
    changed = amount(each.get("changed"))
    return SharedSegment(ident, key, uid, creator_uid, mode, size, attached, creator, last, changed)


def _mps(each: dict[str, object]) -> MpsDirectory:
    born, daemon, alive = each.get("born"), each.get("daemon"), each.get("alive")
    return MpsDirectory(
        text(each.get("path")),
        text(each.get("role")),
        text(each.get("kind")),
        number(each.get("uid")),
        number(each.get("mode")),
        number(each.get("device")),
        number(each.get("inode")),
        None if born is None else amount(born),
        None if daemon is None else number(daemon),
        None if alive is None else truth(alive),
    )
