"""How well the doctor told the mutations, for the summary of the tests."""

from __future__ import annotations

from typing import Final

MUTATIONS: Final[dict[str, int]] = {}


def summary() -> list[str]:
    if not MUTATIONS:
        return []
    recall, precision = MUTATIONS["found"] / MUTATIONS["wanted"], MUTATIONS["found"] / MUTATIONS["told"]
    return [
        f"doctor: {MUTATIONS['mutations']} mutations of sound hosts: recall {recall:.3f}, precision {precision:.3f}"
    ]
