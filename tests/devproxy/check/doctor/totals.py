"""How well the doctor, and check, told the mutations, for the summary of the tests."""

from __future__ import annotations

from typing import Final

MUTATIONS: Final[dict[str, int]] = {}
CHECKED: Final[dict[str, int]] = {}


def summary() -> list[str]:
    told = (("doctor", "mutations of sound hosts", MUTATIONS), ("check", "changes under a job", CHECKED))
    return [_line(verb, what, counts) for verb, what, counts in told if counts]


def _line(verb: str, what: str, counts: dict[str, int]) -> str:
    recall, precision = counts["found"] / counts["wanted"], counts["found"] / counts["told"]
    return f"{verb}: {counts['mutations']} {what}: recall {recall:.3f}, precision {precision:.3f}"
