"""TPU_VISIBLE_CHIPS and TPU_VISIBLE_DEVICE_PATHS: which TPU chips the environment asks for.

The words are libtpu's. Where both are set, the paths count. Which chip a word names is for whoever knows the host.
"""

from __future__ import annotations

from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

VISIBLE_CHIPS = "TPU_VISIBLE_CHIPS"
VISIBLE_DEVICE_PATHS = "TPU_VISIBLE_DEVICE_PATHS"


class VisibleTpus(Record):
    """What is asked for: the chips that `words` name, indices or paths as `source` has them, or all of them when there are
    no words. `value` is what was written, `overruled` the value of TPU_VISIBLE_CHIPS when it does not count.
    """

    source: str
    value: str
    words: tuple[str, ...]
    overruled: str = ""


EVERY_TPU = VisibleTpus("tpuproxy", "true", ())


def visible_tpus(env: Iterable[str]) -> VisibleTpus | None:
    """What the environment asks for; None when neither variable names anything.

    The first variable of a name counts, as for the process itself (getenv(3)).
    """
    values: dict[str, str] = {}
    for entry in env:
        name, _, value = entry.partition("=")
        if name in (VISIBLE_CHIPS, VISIBLE_DEVICE_PATHS):
            values.setdefault(name, value)
    for name in (VISIBLE_DEVICE_PATHS, VISIBLE_CHIPS):
        value = values.get(name, "")
        words = tuple(word for word in (part.strip() for part in value.split(",")) if word)
        if words:
            overruled = values.get(VISIBLE_CHIPS, "") if name != VISIBLE_CHIPS else ""
            return VisibleTpus(f"process.env {name}", value, words, overruled)
    return None
