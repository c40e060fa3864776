"""What a target that gains nothing by it does in bulk: nothing, and everything is asked for one by one."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from devproxy.mount_options import Change
    from devproxy.targets.target import Detached, Source


class OneByOne:
    """Verbs of `Target` that may be left to others."""

    def attach_all(self, attached: Iterable[tuple[Detached, str]]) -> int:  # noqa: ARG002 (the door's)
        """See `Target.attach_all`."""
        return 0

    def bind_directory(self, path: str, change: Change) -> Detached | None:  # noqa: ARG002
        """See `Target.bind_directory`."""
        return None

    def directories_in(self, source: Source, paths: Iterable[str]) -> int:  # noqa: ARG002
        """See `Target.directories_in`."""
        return 0
