"""Names of CDI devices, `vendor/class=device` (the specification's section on kinds)."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_PART: Final = r"[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?"
_KIND: Final = re.compile(rf"{_PART}/{_PART}")
_DEVICE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?")


def is_kind(text: str) -> bool:
    """Whether it is `vendor/class`."""
    return len(text) <= 256 and _KIND.fullmatch(text) is not None


def is_device_name(text: str) -> bool:
    """Whether it may name a device in a spec."""
    return len(text) <= 256 and _DEVICE.fullmatch(text) is not None


def is_qualified(text: str) -> bool:
    """Whether it is `vendor/class=device`, each part valid."""
    kind, equals, name = text.partition("=")
    return bool(equals) and is_kind(kind) and is_device_name(name)
