r"""Sections of GitLab's job log, which can be folded (docs.gitlab.com, "Custom collapsible sections").

ESC[0Ksection_start:UNIX_TIME:NAME[collapsed=true]\r ESC[0K HEADER
ESC[0Ksection_end:UNIX_TIME:NAME\r ESC[0K
"""

from __future__ import annotations


def section_start(name: str, header: str, now: float, *, collapsed: bool) -> str:
    """The line that begins one. `name` is of letters, digits, `_`, `.` and `-`."""
    folded = "[collapsed=true]" if collapsed else ""
    return f"\x1b[0Ksection_start:{int(now)}:{name}{folded}\r\x1b[0K{header}"


def section_end(name: str, now: float) -> str:
    """The line that ends it."""
    return f"\x1b[0Ksection_end:{int(now)}:{name}\r\x1b[0K"
