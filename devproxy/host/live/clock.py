"""When a probe took place, and in which boot: what a later one needs to know what has happened since."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_BOOT: Final = "/proc/sys/kernel/random/boot_id"


def read() -> dict[str, object]:
    """`{"boot", "realtime", "monotonic", "boottime"}`, times in seconds (clock_gettime(2))."""
    return {
        "boot": _boot(),
        "boottime": round(time.clock_gettime(time.CLOCK_BOOTTIME), 6),
        "monotonic": round(time.clock_gettime(time.CLOCK_MONOTONIC), 6),
        "realtime": round(time.time(), 6),
    }


def _boot() -> str:
    try:
        with open(_BOOT, encoding="ascii") as file:
            return file.read(64).strip()
    except FileNotFoundError:
        return ""
