"""What TPU machines print: tpu-info's tables, and their nodes in messages."""

from __future__ import annotations

import re

from devproxy.bugreport.draft import Draft

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.bugreport.lines import Line

_CHIP: Final = re.compile(
    r"[│|┃]\s*(?P<path>/dev/(?:accel|vfio/)\d{1,4})\s*[│|┃]\s*TPU (?P<type>[\w ]{1,20}?)(?: chip)?\s*[│|┃]\s*(?P<devices>\d{1,3})\s*[│|┃]\s*(?P<pid>\d{1,9}|None|N/A|-)\s*[│|┃]"
)
_FRAME: Final = re.compile(r"[┏┡└┗┌├┣╇┳┻━─┓┩┘┛┐┤┫╋┼╈┴┬+|\-=\s]{4,}$")
_TITLE: Final = re.compile(
    r"(?:TPU (?:Chips|Runtime Utilization|Utilization)|Libtpu version:|Accelerator type:|[┃│|]\s*(?:Chip|Device)\s)"
)


def take_tpu_info(lines: list[Line], at: int, draft: Draft) -> int:
    """tpu-info's table of chips, drawn with lines or with bars."""
    text = lines[at].text
    found = _CHIP.match(text)
    if found is not None:
        draft.put_present(found["path"], lines[at].number)
        draft.use(lines[at].number, lines[at].number, "tpu-info", 1, "chip")
        return 1
    asked = draft.command is not None and draft.command.name == "tpu-info"
    if _TITLE.match(text) or (asked and text and _FRAME.match(text)):
        draft.use(lines[at].number, lines[at].number, "tpu-info")
        return 1
    return 0
