"""A CDI spec, parsed strictly: unknown members, wrong types and invalid values are errors with their lines (SPEC.md 1.1.0)."""

from __future__ import annotations

import re

from devproxy.cdi.document import DocumentError, Value, parse_document
from devproxy.cdi.names import is_device_name, is_kind
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

VERSIONS: Final = ("0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0")
_HOOKS: Final = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
# Each member with its type: a name of another table, `[...]` for a list of it.
_TABLES: Final[dict[str, dict[str, str]]] = {
    "spec": {"cdiVersion": "text", "kind": "text", "annotations": "any", "devices": "[device", "containerEdits": "edits"},
    "device": {"name": "text", "annotations": "any", "containerEdits": "edits"},
    "edits": {
        "env": "[text", "deviceNodes": "[node", "netDevices": "[net", "hooks": "[hook", "mounts": "[mount",
        "intelRdt": "rdt", "additionalGids": "[number",
    },
    "node": {
        "path": "text", "hostPath": "text", "type": "text", "major": "number", "minor": "number", "fileMode": "number",
        "permissions": "text", "uid": "number", "gid": "number",
    },
    "net": {"hostInterfaceName": "text", "name": "text"},
    "hook": {"hookName": "text", "path": "text", "args": "[text", "env": "[text", "timeout": "number"},
    "mount": {"hostPath": "text", "containerPath": "text", "options": "[text", "type": "text"},
    "rdt": {
        "closID": "text", "l3CacheSchema": "text", "memBwSchema": "text", "schemata": "[text", "enableMonitoring": "any",
        "enableCMT": "any", "enableMBM": "any",
    },
}  # fmt: skip


class CdiError(Record):
    """What is wrong with a spec, and in which line."""

    file: str
    line: int
    problem: str


class CdiNode(Record):
    """A device node of a spec: its path in the container, the one on the host, and the number, None where the host's counts."""

    path: str
    host_path: str
    major: int | None
    minor: int | None
    line: int


class CdiDevice(Record):
    """A device of a spec, or with an empty name what the spec adds to each of them."""

    name: str
    nodes: tuple[CdiNode, ...]
    mounts: tuple[str, ...]
    line: int


class CdiSpec(Record):
    """A spec without errors."""

    file: str
    version: str
    kind: str
    devices: tuple[CdiDevice, ...]
    common: CdiDevice


def parse_spec(file: str, text: str) -> tuple[CdiSpec | None, tuple[CdiError, ...]]:
    """The spec in a file's text, or what is wrong with it."""
    try:
        document = parse_document(text)
    except DocumentError as error:
        return None, (CdiError(file, error.line, error.problem),)
    errors = [CdiError(file, line, problem) for line, problem in _misshapen(document, "spec", "the spec")]
    if not errors:
        errors = [CdiError(file, line, problem) for line, problem in _invalid(document)]
    if errors:
        return None, tuple(errors)
    devices = tuple(_device(each) for each in _items(document, "devices"))
    common = _device(document)._replace(name="")
    return CdiSpec(file, _text(document, "cdiVersion").removeprefix("v"), _text(document, "kind"), devices, common), ()


def _misshapen(value: Value, kind: str, where: str) -> Iterator[tuple[int, str]]:
    """Unknown members and wrong types, all the way down."""
    if kind.startswith("["):
        if (value.items is None and value.plain is not None) or value.members is not None:
            yield value.line, f"{where} is no list"
        for number, each in enumerate(value.items or ()):
            yield from _misshapen(each, kind[1:], f"{where}[{number}]")
    elif kind in _TABLES:
        if value.members is None:
            yield value.line, f"{where} is no mapping"
        for name, member in (value.members or {}).items():
            if name in _TABLES[kind]:
                yield from _misshapen(member, _TABLES[kind][name], f"{where}.{name}".removeprefix("the spec."))
            else:
                yield member.line, f"{where} has an unknown member {name!r}"
    elif kind == "text" and not isinstance(value.plain, str):
        yield value.line, f"{where} is no text"
    elif kind == "number" and (not isinstance(value.plain, int) or isinstance(value.plain, bool)):
        yield value.line, f"{where} is no whole number"


def _invalid(spec: Value) -> Iterator[tuple[int, str]]:
    version = _text(spec, "cdiVersion").removeprefix("v")
    if version not in VERSIONS:
        yield _line(spec, "cdiVersion"), f"cdiVersion is {version!r}, expected one of {', '.join(VERSIONS)}"
    if not is_kind(_text(spec, "kind")):
        yield _line(spec, "kind"), f"kind is {_text(spec, 'kind')!r}, expected vendor/class"
    devices = _items(spec, "devices")
    if not devices:
        yield _line(spec, "devices"), "the spec has no devices"
    seen: set[str] = set()
    for device in devices:
        name = _text(device, "name")
        if not is_device_name(name):
            yield _line(device, "name"), f"{name!r} is no name of a device"
        if name in seen:
            yield device.line, f"device {name!r} is there twice"
        seen.add(name)
        if not any(each.items or each.members for each in _edits(device).values()):
            yield device.line, f"device {name!r} has no edits"
        yield from _invalid_edits(device)
    yield from _invalid_edits(spec)
    least, why = _least_version(spec, devices)
    if version in VERSIONS and VERSIONS.index(version) < VERSIONS.index(least):
        yield _line(spec, "cdiVersion"), f"cdiVersion is {version}, expected at least {least}: {why}"


def _invalid_edits(owner: Value) -> Iterator[tuple[int, str]]:
    edits = _edits(owner)
    for each in _list(edits, "env"):
        if "=" not in str(each.plain)[1:]:
            yield each.line, f"{each.plain!r} in env is no NAME=VALUE"
    for node in _list(edits, "deviceNodes"):
        if not _text(node, "path"):
            yield node.line, "a device node without a path"
        if _text(node, "type") not in ("", "b", "c", "u", "p"):
            yield _line(node, "type"), f"type is {_text(node, 'type')!r}, expected b, c, u or p"
        if not re.fullmatch(r"[rwm]*|none", _text(node, "permissions")):
            yield _line(node, "permissions"), f"permissions are {_text(node, 'permissions')!r}, expected some of rwm"
    yield from _invalid_hooks(edits)


def _invalid_hooks(edits: dict[str, Value]) -> Iterator[tuple[int, str]]:
    for hook in _list(edits, "hooks"):
        if _text(hook, "hookName") not in _HOOKS:
            yield (
                _line(hook, "hookName"),
                f"hookName is {_text(hook, 'hookName')!r}, expected one of {', '.join(_HOOKS)}",
            )
        if not _text(hook, "path"):
            yield hook.line, "a hook without a path"
    for mount in _list(edits, "mounts"):
        if not (_text(mount, "hostPath") and _text(mount, "containerPath")):
            yield mount.line, "a mount without hostPath or containerPath"


def _least_version(spec: Value, devices: tuple[Value, ...]) -> tuple[str, str]:
    """The oldest version that has everything the spec uses, and what needs it."""
    edits = [_edits(each) for each in (spec, *devices)]
    owners = (spec, *devices)
    uses = (
        ("1.1.0", any("netDevices" in each for each in edits), "netDevices"),
        ("0.7.0", any({"intelRdt", "additionalGids"} & each.keys() for each in edits), "intelRdt or additionalGids"),
        ("0.6.0", any("annotations" in (each.members or {}) for each in owners), "annotations"),
        ("0.6.0", "." in _text(spec, "kind").partition("/")[2], "a dot in the class"),
        (
            "0.5.0",
            any(_text(each, "name")[:1].isdigit() for each in devices),
            "a device's name that begins with a digit",
        ),
        (
            "0.5.0",
            any(_text(n, "hostPath") for each in edits for n in _list(each, "deviceNodes")),
            "hostPath of a node",
        ),
        ("0.4.0", any(_text(m, "type") for each in edits for m in _list(each, "mounts")), "type of a mount"),
    )
    return next(((version, why) for version, used, why in uses if used), ("0.3.0", "the oldest that is supported"))


def _device(owner: Value) -> CdiDevice:
    edits = _edits(owner)
    nodes = tuple(
        CdiNode(
            _text(node, "path"), _text(node, "hostPath") or _text(node, "path"), _number(node, "major"), _number(node, "minor"), node.line
        )
        for node in _list(edits, "deviceNodes")
    )  # fmt: skip
    mounts = tuple(_text(mount, "hostPath") for mount in _list(edits, "mounts"))
    return CdiDevice(_text(owner, "name"), nodes, mounts, owner.line)


def _edits(owner: Value) -> dict[str, Value]:
    edits = (owner.members or {}).get("containerEdits")
    return (edits.members or {}) if edits is not None else {}


def _list(members: dict[str, Value], name: str) -> tuple[Value, ...]:
    return (members[name].items or ()) if name in members else ()


def _items(owner: Value, name: str) -> tuple[Value, ...]:
    return _list(owner.members or {}, name)


def _text(owner: Value, name: str) -> str:
    value = (owner.members or {}).get(name)
    return value.plain if value is not None and isinstance(value.plain, str) else ""


def _number(owner: Value, name: str) -> int | None:
    value = (owner.members or {}).get(name)
    return value.plain if value is not None and isinstance(value.plain, int) else None


def _line(owner: Value, name: str) -> int:
    return (owner.members or {}).get(name, owner).line
