"""Which mounts of a plan get an overlay (S41), from the configuration and the bundle's mount hints."""

from __future__ import annotations

from devproxy.mount_options import Attribute
from devproxy.oci.hints import Hints
from devproxy.oci.spec import Mount
from devproxy.overlay import Medium, Overlaid, Overlay, Overlay2
from devproxy.plan.steps import Level, Reason, Skip
from devproxy.record import Record

_BY_HINT = Overlay(Medium.SELF)
_READ_ONLY = int(Attribute.RDONLY)


class Choice(Record):
    """The overlay of a bind, or None, and why."""

    overlay: Overlay | None
    note: str = ""


_NONE = Choice(None)


class Overlays:
    """Decides for each bind."""

    def __init__(self, overlay2: Overlay2, hints: Hints) -> None:
        self._overlay2 = overlay2
        self._hints = hints

    def of_bind(self, mount: Mount) -> Choice:
        """The overlay of one bind. A hint outweighs the configuration, and what is read-only needs none."""
        if int(mount.options.change.set) & _READ_ONLY or int(mount.options.recursive.set) & _READ_ONLY:
            return _NONE
        hint = self._hints.by_source.get(mount.source)
        if hint is not None and hint.overlaid:
            return Choice(_BY_HINT, f"the hint {hint.name} keeps the volume to this container")
        note = "" if hint is None else f"the hint {hint.name} says that access to it is {hint.access}"
        if self._overlay2.mounts is Overlaid.ALL:
            return Choice(self._overlay2.overlay, f"overlay2 = {self._overlay2}")
        return Choice(None, note)


def told_of_hints(own: Hints, counting: Hints) -> list[Skip]:
    """The hints of a bundle that are dropped, and those that do not count, since its pod was begun with others."""
    skips = [Skip("/", "a mount hint", Level.WARNING, Reason(dropped.where, dropped.why)) for dropped in own.dropped]
    for source, hint in own.by_source.items():
        if counting.by_source.get(source) != hint:
            reason = Reason("annotations", "the hints of the pod's first container count")
            skips.append(Skip("/", f"the mount hint {hint.name}", Level.NOTE, reason))
    return skips
