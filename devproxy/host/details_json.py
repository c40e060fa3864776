"""Records as plain values for JSON: what `devproxy probe --json` prints of a deep probe, each record an object of its
fields by name, each choice its word.
"""

from __future__ import annotations

from devproxy.choice import Choice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.host.details import Details


def details_document(details: Details | None) -> object:
    """`{"nvml": {...}, "devices": {...}, "system": {...}}`, or None after a plain probe."""
    return _plain(details)


def _plain(value: object) -> object:
    if isinstance(value, Choice):
        return value.value
    if hasattr(value, "_asdict"):
        return {name: _plain(each) for name, each in value._asdict().items()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value
