"""The rootfs hint: what annotations `dev.gvisor.spec.rootfs.KEY` say of the root, in place of root.path (H19)."""

from __future__ import annotations

from devproxy.errors import InputError
from devproxy.oci.configuration import parse_medium, parse_size
from devproxy.oci.json_path import JsonValue, quote
from devproxy.oci.spec import RootfsHint, Unsupported
from devproxy.overlay import NO_OVERLAY, Overlaid, Overlay2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PREFIX = "dev.gvisor.spec.rootfs."
"""What the names of these annotations begin with."""

_NO_GOFER = "directfs=off for the root: no gofer stands between a container and its files here"


def parse_rootfs_hint(
    annotations: Iterable[tuple[str, str]],
) -> tuple[RootfsHint, tuple[Unsupported, ...]]:
    """The hint among a spec's annotations, and what it asks for that means nothing here. Unlike a mount hint it is taken
    whole or not at all: the root would be another one.

    Errors: InputError for an annotation that is unknown or wrong, and for a hint without a source or a type.
    """
    fields = {
        key.removeprefix(PREFIX): JsonValue(value, where(key)) for key, value in annotations if key.startswith(PREFIX)
    }
    for name, value in fields.items():
        check = _CHECKS.get(name)
        if check is None:
            raise InputError(
                f"{value.path} is no rootfs annotation", hint=f"they are {', '.join(_CHECKS)}, behind {PREFIX}"
            )
        check(value)
    missing = [name for name in ("source", "type") if name not in fields]
    if missing:
        names = " and ".join(where(PREFIX + name) for name in missing)
        hint = "a rootfs hint names its source and its type; without one root.path is the root"
        raise InputError(f"{names} missing beside {next(iter(fields.values())).path}", hint=hint)
    unsupported: tuple[Unsupported, ...] = ()
    if "directfs" in fields and fields["directfs"].text() == "off":
        unsupported = (Unsupported(fields["directfs"].path, _NO_GOFER, harmless=True),)
    size = _size(fields["options"]) if "options" in fields else ""
    return RootfsHint(fields["source"].host_path(), _overlay2(fields.get("overlay"), size), size), unsupported


def where(key: str) -> str:
    """How a message names an annotation."""
    return f"annotations[{quote(key)}]"


def _source(value: JsonValue) -> None:
    if not value.host_path().startswith("/"):
        raise value.wrong("an absolute path of the host")


def _type(value: JsonValue) -> None:
    if value.text() == "erofs":
        hint = "mount the image on the host, and name that directory with type bind"
        raise value.wrong('"bind": EROFS images are not mounted', hint=hint)
    if value.text() != "bind":
        raise value.wrong('"bind"')


def _directfs(value: JsonValue) -> None:
    if value.text() not in ("default", "off"):
        raise value.wrong('"default" or "off"')


def _overlay(value: JsonValue) -> None:
    _overlay2(value, "")


def _options(value: JsonValue) -> None:
    _size(value)


def _overlay2(value: JsonValue | None, size: str) -> Overlay2 | None:
    """The root's overlay, or None where the annotations leave it to the configuration."""
    if value is None:
        return None
    if value.text() == "none":
        if size:
            raise value.wrong("a medium, or no size beside it", hint="the size is that of an overlay")
        return NO_OVERLAY
    try:
        return Overlay2(Overlaid.ROOT, parse_medium(value.text(), size))
    except ValueError:
        raise value.wrong("none, memory, self or dir=/DIRECTORY") from None


def _size(value: JsonValue) -> str:
    """The size in `size=64m`, the one option there is."""
    key, _, size = value.text().partition("=")
    try:
        if key == "size":
            return parse_size(size)
    except ValueError:
        pass
    raise value.wrong("size=SIZE, such as size=64m")


_CHECKS: dict[str, Callable[[JsonValue], None]] = {
    "source": _source,
    "type": _type,
    "overlay": _overlay,
    "options": _options,
    "directfs": _directfs,
}
