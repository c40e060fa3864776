"""Sizes of file systems, from the fact `file_systems` (devproxy.host.live.file_systems)."""

from __future__ import annotations

from devproxy.host.sources.document import each_object, number, text
from devproxy.host.system_facts import FileSystemSize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.host.root import HostRoot


def read_file_systems(root: HostRoot) -> tuple[FileSystemSize, ...] | None:
    """Those that were measured; None when nobody did."""
    document = root.read_fact("file_systems")
    return each_object(root, "file_systems", document, "file_systems", _size) if document else None


def _size(each: dict[str, object]) -> FileSystemSize:
    return FileSystemSize(text(each.get("path")), number(each.get("size")), number(each.get("free")))
