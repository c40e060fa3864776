"""The totals of the attacks that peers were given too, for the summary of the tests."""

from __future__ import annotations

from collections import Counter
from typing import Final

TOTALS: Final[dict[str, dict[str, str]]] = {}
RACES: Final[dict[str, tuple[int, int]]] = {}  # how many runs, and how many started


def summary() -> list[str]:
    """A line for each tool, and what it failed; one for the races."""
    lines = []
    for tool, found in TOTALS.items():
        count = Counter(found.values())
        broken = ", ".join(name for name, verdict in found.items() if verdict == "BROKEN")
        words = ", ".join(f"{count[kind]} {kind}" for kind in ("SAFE", "REFUSED", "BROKEN"))
        lines.append(f"attacks: {tool}: {words}{f' ({broken})' if broken else ''}")
    if RACES:
        told = ", ".join(f"{name} {started} of {count}" for name, (count, started) in RACES.items())
        lines.append(f"races lost by the image, with how many of the runs started: {told}")
    return lines
