"""Mount hints: what a pod says about its volumes in annotations `dev.gvisor.spec.mount.NAME.KEY` (S60 to S62)."""

from __future__ import annotations

from devproxy.choice import Choice
from devproxy.errors import InputError
from devproxy.oci.json_path import JsonValue, quote
from devproxy.oci.mount_options import parse_options
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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


class Dropped(Record):
    """An annotation, or a whole hint, that is left out: `where` names it, `why` says what is wrong."""

    where: str
    why: str


class Hints(Record):
    """The hints by their source, and what was dropped on the way."""

    by_source: Mapping[str, MountHint]
    dropped: tuple[Dropped, ...]


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
        kept, unknown = _known_options(value) if field == "options" else (value, [])
        dropped += [Dropped(_where(key), f"{quote(word)} is no option of a bind") for word in unknown]
        fields.setdefault(name, {})[field] = kept
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


def _known_options(value: str) -> tuple[str, list[str]]:
    """The mount options that are known, and those that are not (S60)."""
    kept, unknown = [], []
    for word in filter(None, value.split(",")):
        try:
            parse_options([JsonValue(word, "options")], "bind")
            kept.append(word)
        except InputError:
            unknown.append(word)
    return ",".join(kept), unknown


def _assemble(fields: Mapping[str, Mapping[str, str]], dropped: list[Dropped]) -> Hints:
    found: dict[str, MountHint] = {}
    for name, values in fields.items():
        where = _where(f"{PREFIX}{name}")
        missing = [field for field in ("source", "type", "share") if field not in values]
        if missing:
            dropped.append(Dropped(where, f"a hint needs source, type and share, {' and '.join(missing)} missing"))
            continue
        lifecycle = Share(values["lifecycle"]) if "lifecycle" in values else None
        options = tuple(filter(None, values.get("options", "").split(",")))
        hint = MountHint(name, values["source"], values["type"], Share(values["share"]), lifecycle, options)
        other = found.setdefault(hint.source, hint)
        if other is not hint:
            dropped.append(Dropped(where, f"{quote(other.name)} has the same source, {quote(hint.source)}"))
    return Hints(found, tuple(dropped))


_SHARES = tuple(share.value for share in Share)
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "source": (),
    "type": ("tmpfs", "bind"),
    "share": _SHARES,
    "options": (),
    "lifecycle": _SHARES,
}
