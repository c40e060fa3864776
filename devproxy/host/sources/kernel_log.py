"""The kernel's log, from the fact `kernel_log` (devproxy.host.live.kernel_log)."""

from __future__ import annotations

from devproxy.host.root import fact_path
from devproxy.host.sources.document import items, number, texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.root import HostRoot
    from devproxy.host.shared_memory_facts import LogSpan
    from devproxy.host.system_facts import LogEvent

_MOST: Final = 10_000


def read_kernel_log(root: HostRoot) -> tuple[tuple[LogEvent, ...] | None, LogSpan | None]:
    """What it says of accelerators, oldest first, None when it could not be read; and which part of it was read, None when that
    is not told.
    """
    from devproxy.host.kernel_messages import parse_log_line

    document = root.read_fact("kernel_log")
    if not document:
        return None, None
    try:
        lines, left_out = texts(document.get("lines")), number(document.get("left_out", 0))
    except TypeError as error:
        root.note(fact_path("kernel_log"), f"lines: {error}")
        return None, None
    if document.get("complete") is False:
        root.note(fact_path("kernel_log"), "it was not read to its end in time: the newest lines are missing")
    if left_out:
        root.note(fact_path("kernel_log"), f"{left_out} older lines were left out")
    sequences = _sequences(root, document, len(lines))
    events = tuple(
        event._replace(sequence=sequence)
        for line, sequence in zip(lines[:_MOST], sequences, strict=False)
        if (event := parse_log_line(line)) is not None
    )
    return events, _span(root, document, left_out)


def _sequences(root: HostRoot, document: dict[str, object], wanted: int) -> list[int | None]:
    """The number of each line; none of them where the document has none (an older devproxy wrote it), or other ones."""
    try:
        found = [None if each is None else number(each) for each in items(document.get("sequences", []))]
    except TypeError as error:
        root.note(fact_path("kernel_log"), f"sequences: {error}")
        found = []
    return found if len(found) == wanted else [None] * wanted


def _span(root: HostRoot, document: dict[str, object], left_out: int) -> LogSpan | None:
    from devproxy.host.shared_memory_facts import LogSpan

    match document.get("span"):
        case [first, following]:
            try:
                return LogSpan(number(first), number(following), left_out, complete=document.get("complete") is True)
            except TypeError as error:
                root.note(fact_path("kernel_log"), f"span: {error}")
        case _:
            pass
    return None
