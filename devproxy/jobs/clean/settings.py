"""The devices' settings, put back to what they were before the job."""

from __future__ import annotations

from devproxy.jobs.clean.dirt import Dirt
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from devproxy.jobs.clean.asked import Asked


class Changes(Record):
    """What differs, each with what puts it back; and why that could not be told."""

    pieces: tuple[tuple[Dirt, Callable[[], str]], ...] = ()
    unseen: str = ""


def find(asked: Asked) -> Changes:
    """What the job changed."""
    del asked
    return Changes()
