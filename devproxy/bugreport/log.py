"""Lines of the kernel's log: dmesg, journals, syslog."""

from __future__ import annotations

import re

from devproxy.bugreport.draft import MOST, Draft
from devproxy.bugreport.messages import take_message
from devproxy.host.kernel_messages import parse_log_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.bugreport.lines import Line

_KERNEL: Final = re.compile(
    r"(?:[^\W\d_]{3,5}\.?\s{1,2}\d{1,2}\.? [\d:.]{8,15} |\d{4}-\d\d-\d\dT\S{8,30} )?(?:[\w.-]{1,64} )?kernel: "
)
_STAMP: Final = re.compile(r"(?:<\d{1,3}>)?\[\s*\d{1,10}\.\d{1,9}\]")
_DATED: Final = re.compile(r"\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d [\d:]{8} \d{4}\]\s*")


def take_log(lines: list[Line], at: int, draft: Draft) -> int:
    """A line of the kernel's log. What spans lines (an API mismatch is four) is one event."""
    text, stamped = _unstamped(lines[at])
    if not stamped and not text.startswith(("NVRM:", "nouveau ")):
        return 0
    event = parse_log_line(text, f"line {lines[at].number}")
    if event is None:
        if stamped:
            draft.use(lines[at].number, lines[at].number, "kernel log", 0, "event")
        return int(stamped and "avc:" not in text)
    taken = 1
    if event.kind == "api-mismatch":
        taken, whole = _continued(lines, at, event.text)
        event = event._replace(text=whole)
    elif event.kind in ("nouveau", "other"):
        take_message(lines, at, draft)
    if len(draft.log) < MOST:
        draft.log[event] = None
    draft.use(lines[at].number, lines[at + taken - 1].number, "kernel log", 1, "event")
    return taken


def _unstamped(line: Line) -> tuple[str, bool]:
    """The line from its stamp of seconds on, and whether it had the looks of a log's line."""
    text = line.raw.strip()
    for prefix in (_KERNEL, _DATED):
        if found := prefix.match(text):
            return text[found.end() :], True
    return (text, True) if _STAMP.match(text) else (line.text, False)


def _continued(lines: list[Line], at: int, text: str) -> tuple[int, str]:
    """A message together with the lines that go on with it."""
    end = at + 1
    while end < len(lines) and end < at + 5 and "NVRM:" in lines[end].text and "API mismatch" not in lines[end].text:
        text += " " + lines[end].text.rpartition("NVRM:")[2].strip()
        end += 1
        if "same version" in text:
            break
    return end - at, text
