"""The kernel's log, from the fact `kernel_log` (devproxy.host.live.kernel_log)."""

from __future__ import annotations

from devproxy.host.root import fact_path
from devproxy.host.sources.document import number, texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.root import HostRoot
    from devproxy.host.system_facts import LogEvent

_MOST: Final = 10_000


def read_kernel_log(root: HostRoot) -> tuple[LogEvent, ...] | None:
    """What it says of accelerators, oldest first; None when it could not be read."""
    from devproxy.host.kernel_messages import parse_log_line

    document = root.read_fact("kernel_log")
    if not document:
        return None
    try:
        lines, left_out = texts(document.get("lines")), number(document.get("left_out", 0))
    except TypeError as error:
        root.note(fact_path("kernel_log"), f"lines: {error}")
        return None
    if document.get("complete") is False:
        root.note(fact_path("kernel_log"), "it was not read to its end in time: the newest lines are missing")
    if left_out:
        root.note(fact_path("kernel_log"), f"{left_out} older lines were left out")
    return tuple(event for line in lines[:_MOST] if (event := parse_log_line(line)) is not None)
