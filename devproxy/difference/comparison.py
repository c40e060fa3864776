"""What a comparison found, whatever was compared."""

from __future__ import annotations

from devproxy.record import Record


class Line(Record):
    """One difference, in words for people (`text`) and in parts for programs. `before` is None where it is new, `after` where
    it is gone. One that is `minor` says nothing of what is compared: processes come and go, a bundle lies elsewhere.
    """

    group: str
    kind: str
    subject: str
    field: str
    before: str | None
    after: str | None
    text: str
    minor: bool = False


class Comparison(Record):
    """All differences between two things of a kind (`recording`, `plan`, `report`), the important ones first. `unseen` tells
    what could be seen on one side alone, and so was not compared.
    """

    kind: str
    lines: tuple[Line, ...]
    unseen: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether nothing differs that counts."""
        return all(line.minor for line in self.lines)

    @property
    def exit_code(self) -> int:
        """0 without a difference, 3 with one, 4 when there may be one that could not be seen."""
        return 3 if not self.same else 4 if self.unseen else 0


def change(before: str | None, after: str | None) -> str:
    """`510 -> 509`; what is empty is `none`."""
    return f"{before or 'none'} -> {after or 'none'}"


def to_json(comparison: Comparison) -> dict[str, object]:
    """`{"format": 1, "kind": "recording", "same": false, "differences": [{"group": ..., "kind": ..., "subject": ...,
    "field": ..., "before": ..., "after": ..., "text": ..., "minor": false}], "unseen": [...]}`.
    """
    return {
        "format": 1,
        "kind": comparison.kind,
        "same": comparison.same,
        "differences": [line._asdict() for line in comparison.lines],
        "unseen": list(comparison.unseen),
    }
