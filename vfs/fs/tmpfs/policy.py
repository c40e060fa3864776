"""The option `mpol`: on which NUMA nodes a tmpfs takes its memory (mm/mempolicy.c, mpol_parse_str).

It is read and has no effect. Which nodes there are is the machine's to say: every number is taken.
"""

from __future__ import annotations

from typing import Final

_ALONE: Final = frozenset(("default", "local"))
_WITH_NODES: Final = frozenset(("bind", "prefer (many)"))
_MODES: Final = _ALONE | _WITH_NODES | {"prefer", "interleave", "weighted interleave"}
_FLAGS: Final = frozenset(("static", "relative"))
_DIGITS: Final = "0123456789"


def check(text: str) -> None:
    """Errors: ValueError for what is no `mode[=flags][:nodes]`."""
    head, colon, nodes = text.partition(":")
    mode, equals, flags = head.partition("=")
    if mode not in _MODES or (colon and (mode in _ALONE or not _is_list(nodes))):
        raise ValueError(text)
    if mode in _WITH_NODES and not colon:
        raise ValueError(text)
    if mode == "prefer" and colon and nodes.strip(_DIGITS):
        raise ValueError(text)
    if mode == "local" and equals:
        raise ValueError(text)
    # Of the default nothing behind the mode is looked at.
    if mode != "default" and equals and flags not in _FLAGS:
        raise ValueError(text)


def _is_list(nodes: str) -> bool:
    """Whether a text is a list of nodes, `0-3,5` (lib/bitmap.c, bitmap_parselist). Groups (`0-7:1/2`) would need the colon,
    which ends the list.
    """
    for word in nodes.split(","):
        first, dash, last = word.partition("-")
        if not _is_number(first) or (dash and (not _is_number(last) or int(last) < int(first))):
            return False
    return True


def _is_number(text: str) -> bool:
    return bool(text) and not text.strip(_DIGITS)
