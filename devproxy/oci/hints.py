"""Mount hints: what a pod says about its volumes in annotations `dev.gvisor.spec.mount.NAME.KEY` (S60 to S62).

dev.gvisor.spec.mount.cache.source   /srv/cache         what the mounts of the volume name as their source
dev.gvisor.spec.mount.cache.type     tmpfs | bind
dev.gvisor.spec.mount.cache.share    container | pod | shared
dev.gvisor.spec.mount.cache.options  noexec,size=64m    of the volume, not of a mount of it
"""

from __future__ import annotations

from devproxy.choice import Choice
from devproxy.errors import InputError
from devproxy.mount_options import MountOptions
from devproxy.oci.json_path import JsonValue, quote
from devproxy.oci.mount_options import parse_options
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Final

PREFIX = "dev.gvisor.spec.mount."


class Share(Choice):
    """Who uses a volume, and how long it lives: one container, the containers of a pod, or others too."""

    CONTAINER = "container"
    POD = "pod"
    SHARED = "shared"


class MountHint(Record):
    """What is said about the volume `name`: every mount of `source` is one of it. `type` is tmpfs or bind; `options`
    are those of the volume, not of a mount of it.
    """

    name: str
    source: str
    type: str
    share: Share
    lifecycle: Share | None
    options: tuple[str, ...]

    @property
    def overlaid(self) -> bool:
        """Whether nobody else sees the volume, so that its mounts get an overlay (S62)."""
        return self.type == "bind" and self.share is Share.CONTAINER and self.lifecycle is not Share.SHARED

    @property
    def shared(self) -> bool:
        """Whether the containers of a pod see each other's writes to it (S62)."""
        return self.type == "tmpfs" and self.share is not Share.SHARED

    @property
    def access(self) -> str:
        """Who changes its files: the pod alone (`exclusive`), or others meanwhile (`shared`); it outweighs file-access-mounts
        (S62).
        """
        return "exclusive" if self.shared or self.share is Share.CONTAINER else "shared"

    def parsed_options(self) -> MountOptions:
        """The options, which are all known by now."""
        return parse_options([JsonValue(word, self.name) for word in self.options], self.type).options


class Dropped(Record):
    """An annotation, or a whole hint, that is left out: `where` names it, `why` says what is wrong."""

    where: str
    why: str


class Hints(Record):
    """The hints by their source, and what was dropped on the way."""

    by_source: Mapping[str, MountHint]
    dropped: tuple[Dropped, ...]


NO_HINTS: Final = Hints({}, ())


def parse_hints(annotations: Iterable[tuple[str, str]]) -> Hints:
    """The mount hints among a spec's annotations. A bad one is dropped, and named (S61)."""
    dropped: list[Dropped] = []
    fields: dict[str, dict[str, str]] = {}
    for key, value in annotations:
        if not key.startswith(PREFIX):
            continue
        name, _, field = key.removeprefix(PREFIX).partition(".")
        expected = _wrong(name, field, value)
        if expected:
            dropped.append(Dropped(_where(key), f"{quote(value)}, expected {expected}"))
            continue
        if field == "directfs" and value == "off":
            dropped.append(Dropped(_where(key), '"off", but no gofer stands between a container and its files here'))
        fields.setdefault(name, {})[field] = value
    return _assemble(fields, dropped)


def _where(key: str) -> str:
    return f"annotations[{quote(key)}]"


def _wrong(name: str, field: str, value: str) -> str:
    """What was expected in place of an annotation, or nothing if it is right (S60)."""
    if not name or field not in _FIELDS:
        return f"{PREFIX}NAME.KEY with KEY one of {', '.join(_FIELDS)}"
    values = _FIELDS[field]
    if values and value not in values:
        return " or ".join(values)
    return "" if value or field == "options" else "a path"


def _known_options(value: str, kind: str) -> tuple[tuple[str, ...], list[str]]:
    """The options that a volume of this type can have, and the others (S60): attributes of mounts, and what tmpfs takes."""
    kept, others = list[str](), list[str]()
    for word in filter(None, value.split(",")):
        (kept if _is_of_volume(word, kind) else others).append(word)
    return tuple(kept), others


def _is_of_volume(word: str, kind: str) -> bool:
    try:
        options = parse_options([JsonValue(word, "options")], kind).options
    except InputError:
        return False
    # How events travel, and what is done below, is for each mount to say.
    return not (options.propagation or options.recursive or (kind == "tmpfs" and options.bind))


def _assemble(fields: Mapping[str, Mapping[str, str]], dropped: list[Dropped]) -> Hints:
    found: dict[str, MountHint] = {}
    for name, values in fields.items():
        where = _where(f"{PREFIX}{name}")
        missing = [field for field in ("source", "type", "share") if field not in values]
        if missing:
            dropped.append(Dropped(where, f"a hint needs source, type and share, {' and '.join(missing)} missing"))
            continue
        lifecycle = Share(values["lifecycle"]) if "lifecycle" in values else None
        options, others = _known_options(values.get("options", ""), values["type"])
        what = "bind" if values["type"] == "bind" else "tmpfs volume"
        dropped += [
            Dropped(_where(f"{PREFIX}{name}.options"), f"{quote(word)} is no option of a {what}") for word in others
        ]
        hint = MountHint(name, values["source"], values["type"], Share(values["share"]), lifecycle, options)
        other = found.setdefault(hint.source, hint)
        if other is not hint:
            dropped.append(Dropped(where, f"{quote(other.name)} has the same source, {quote(hint.source)}"))
    return Hints(found, tuple(dropped))


def to_json(hints: Hints) -> list[list[object]]:
    """The hints as plain values, for another process of the pod; what was dropped was told by the first."""
    return [
        [hint.name, hint.source, hint.type, hint.share.value, hint.lifecycle and hint.lifecycle.value, hint.options]
        for hint in hints.by_source.values()
    ]


def from_json(value: list[Any]) -> Hints:
    """What `to_json` was given."""
    hints = [
        MountHint(name, source, kind, Share(share), lifecycle and Share(lifecycle), tuple(options))
        for name, source, kind, share, lifecycle, options in value
    ]
    return Hints({hint.source: hint for hint in hints}, ())


_SHARES = tuple(share.value for share in Share)
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "source": (),
    "type": ("tmpfs", "bind"),
    "share": _SHARES,
    "options": (),
    "lifecycle": _SHARES,
    "directfs": ("default", "off"),
}
